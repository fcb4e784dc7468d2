"""The scalar equation that planar and Sylvester flows are inverted by."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["solve_for_latent"]

# Each Newton step doubles the orders of derivatives that are right: after two, up to the third.
NEWTON_STEPS = 2


def solve_for_latent(y, gain, slope, offset):
    """The s at which s + gain * tanh(slope * s + offset) is y, for gain * slope > -1.

    The left side grows with s, and differs from s by |gain| at most, which brackets the root.
    The derivatives are those of Newton steps from there, the implicit function's.

    Args:
      y: `[...]`.
      gain, slope, offset: `[...]`, broadcast to the shape of `y`.
    """
    y, gain, slope, offset = (
        value + tf.zeros_like(y + gain + slope + offset) for value in (y, gain, slope, offset)
    )
    s = tf.stop_gradient(_bracketed(*map(tf.stop_gradient, (y, gain, slope, offset))))
    for _ in range(NEWTON_STEPS):
        tanh = tf.tanh(slope * s + offset)
        s -= (s + gain * tanh - y) / (1.0 + gain * slope * (1.0 - tanh**2))
    return s


def _bracketed(y, gain, slope, offset):
    reach = tf.abs(gain)
    return tfp.math.find_root_chandrupatla(
        lambda s: s + gain * tf.tanh(slope * s + offset) - y,
        y - reach,
        y + reach,
        position_tolerance=tf.constant(4 * np.finfo(y.dtype.as_numpy_dtype).eps, y.dtype),
        max_iterations=100,
    ).estimated_root
