"""The scalar equation that planar and Sylvester flows are inverted by."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["solve_for_latent"]


def solve_for_latent(y, gain, slope, offset):
    """The s at which s + gain * tanh(slope * s + offset) is y, for gain * slope > -1.

    The left side grows with s, and differs from s by |gain| at most. That interval is halved
    until it is as small as the dtype allows, which needs no start and cannot diverge; the
    gradients are those of one Newton step from there, the implicit function's.

    Args:
      y: `[...]`.
      gain, slope, offset: `[...]`, broadcast to the shape of `y`.
    """
    y, gain, slope, offset = (
        value + tf.zeros_like(y + gain + slope + offset) for value in (y, gain, slope, offset)
    )

    def left_side(s):
        return s + gain * tf.tanh(slope * s + offset)

    def halve(count, low, high):
        middle = 0.5 * (low + high)
        above = left_side(middle) > y
        return count + 1, tf.where(above, low, middle), tf.where(above, middle, high)

    halvings = 64 if y.dtype == tf.float64 else 32
    reach = tf.abs(gain)
    _, low, high = tf.while_loop(
        lambda count, *_: count < halvings,
        halve,
        (tf.constant(0), tf.stop_gradient(y - reach), tf.stop_gradient(y + reach)),
        maximum_iterations=halvings,
    )
    s = tf.stop_gradient(0.5 * (low + high))
    tanh = tf.tanh(slope * s + offset)
    derivative = tf.stop_gradient(1.0 + gain * slope * (1.0 - tanh**2))
    return s - (s + gain * tanh - y) / derivative
