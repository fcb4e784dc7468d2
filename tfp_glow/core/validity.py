"""NaN in the place of what is not valid."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["valid_or_nan"]


def valid_or_nan(valid, value):
    """`value` where `valid`, which has its leading dimensions or all of them, and NaN elsewhere.

    NaN is computed, and so only where it is needed: `tf.debugging.enable_check_numerics`, with
    which users look for the first NaN, would report a constant wherever it stands in a graph.
    """
    extra = value.shape.rank - valid.shape.rank
    valid = tf.reshape(valid, tf.concat([tf.shape(valid), [1] * extra], 0)) if extra else valid
    chosen = tf.where(valid, value, tf.sqrt(tf.cast(valid, value.dtype) - 1.0))
    chosen.set_shape(value.shape)
    return chosen
