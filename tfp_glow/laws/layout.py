"""How a network's output holds the parameters of a law."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["parameters_of_values"]


def parameters_of_values(raw, value, count: int):
    """`raw` `[..., count * channels]` as `[..., channels, count]`, the parameters of each value.

    Args:
      raw: All channels' first parameters, then all their second ones, and so on.
      value: `[..., channels]`.
      count: Parameters of one channel.
    """
    sizes, static = tf.shape(value), value.shape.as_list()
    leading = [sizes[i] if n is None else n for i, n in enumerate(static[:-1])]
    return tf.linalg.matrix_transpose(tf.reshape(raw, [*leading, count, static[-1]]))
