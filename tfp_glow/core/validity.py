"""NaN, or zero, in the place of what is not valid."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["valid_or_nan", "valid_or_zero"]


def valid_or_nan(valid, value):
    """`value` where `valid`, which has its leading dimensions or all of them, and NaN elsewhere.

    NaN is computed, and so only where it is needed: `tf.debugging.enable_check_numerics`, with
    which users look for the first NaN, would report a constant wherever it stands in a graph.
    """
    valid = _beside(valid, value)
    return _in_its_shape(tf.where(valid, value, tf.sqrt(tf.cast(valid, value.dtype) - 1.0)), value)


def valid_or_zero(valid, value):
    """`value` where `valid`, as in `valid_or_nan`, and zero elsewhere."""
    return _in_its_shape(tf.where(_beside(valid, value), value, tf.zeros([], value.dtype)), value)


def _beside(valid, value):
    """`valid` with as many dimensions as `value`."""
    extra = value.shape.rank - valid.shape.rank
    return tf.reshape(valid, tf.concat([tf.shape(valid), [1] * extra], 0)) if extra else valid


def _in_its_shape(chosen, value):
    chosen.set_shape(value.shape)
    return chosen
