"""What a pass cannot take as it is: examples without a density, and no example at all.

The former give NaN and leave the others as they are. NaN cannot be left to find its way through a
network, which may turn it into zero, nor to a solver that waits for all examples. In the place of
no example a zero is passed and dropped: a solver would wait for none, and oneDNN gives convolutions
of none a wrong shape.
"""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core.passes import Pass
from tfp_glow.core.validity import valid_or_nan, valid_or_zero

__all__ = ["guarded"]


def guarded(direction: Pass, bijector, value, condition) -> tuple[tf.Tensor, tf.Tensor]:
    """A pass that gives NaN where value or condition are not finite, or class ids out of range."""
    batch_ndims = value.shape.rank - direction.min_event_ndims(bijector)
    if batch_ndims == 0 or value.shape[0]:
        return _pass(direction, bijector, value, condition)
    size = tf.shape(value)[0]
    if condition is not None:
        condition_ndims = condition.shape.rank - len(bijector.condition_shape)
        condition = _never_empty(condition) if condition_ndims == batch_ndims else condition
    results = _pass(direction, bijector, _never_empty(value), condition)
    return tuple(_first(result, size, value.shape[:1]) for result in results)


def _never_empty(value):
    """The value, or one zero where its first dimension is empty."""
    missing = tf.cast(tf.equal(tf.shape(value)[0], 0), tf.int32)
    return tf.pad(value, [[0, missing], *[[0, 0]] * (value.shape.rank - 1)])


def _first(value, size, static_size: tf.TensorShape):
    value = value[:size]
    value.set_shape(static_size.concatenate(value.shape[1:]))
    return value


def _pass(direction: Pass, bijector, value, condition) -> tuple[tf.Tensor, tf.Tensor]:
    if not value.dtype.is_floating:
        return direction(bijector, value, condition)
    event_ndims = direction.min_event_ndims(bijector)
    valid = _finite(value, event_ndims)
    if condition is not None:
        valid_condition = _valid_condition(bijector, condition)
        valid &= valid_condition
        condition = valid_or_zero(valid_condition, condition)
    output, log_det = direction(bijector, valid_or_zero(valid, value), condition)
    return valid_or_nan(valid, output), valid_or_nan(valid, log_det)


def _finite(value, event_ndims: int):
    return tf.reduce_all(tf.math.is_finite(value), list(range(-event_ndims, 0)))


def _valid_condition(bijector, condition):
    if condition.dtype.is_floating:
        return _finite(condition, len(bijector.condition_shape))
    known = bijector.class_ids
    if known is None:
        return tf.ones_like(condition, tf.bool)
    return (condition >= known.start) & (condition < known.stop)
