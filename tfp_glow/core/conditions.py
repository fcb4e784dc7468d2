"""What a bijector is conditioned on, and how it reaches those that take it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = [
    "check_class_ids",
    "check_condition",
    "check_condition_batch",
    "common_condition_shape",
    "condition_for",
    "condition_of_samples",
]

tfb = tfp.bijectors


def check_condition(condition, shape: tuple[int, ...] | None, dtype: tf.DType | None, name: str):
    """The condition as a tensor, cast to `dtype` where it holds floats or features.

    Args:
      condition: What was given, or None.
      shape: Event shape of the condition, or None where there must be none.
      dtype: dtype of the values, or None for any.
      name: Name of the bijector.

    Raises:
      ValueError: If the condition is missing, not wanted, or of another shape.
    """
    if condition is None and shape is None:
        return None
    if shape is None:
        raise ValueError(f"condition must be None: {name} takes none. Received: {condition!r}.")
    if condition is None:
        raise ValueError(_message(shape, name, "None"))
    condition = tf.convert_to_tensor(condition)
    is_cast = condition.dtype.is_floating or (shape and condition.dtype.is_integer)
    if is_cast and dtype is not None:
        condition = tf.cast(condition, dtype)
    received, ndims = condition.shape, len(shape)
    if received.rank is None or not ndims:
        return condition
    if received.rank < ndims or not received[-ndims:].is_compatible_with(shape):
        raise ValueError(_message(shape, name, f"shape {tuple(received)}"))
    if received[-ndims:].is_fully_defined():
        return condition
    return tf.ensure_shape(condition, received[:-ndims].concatenate(shape))


def check_condition_batch(condition, batch: tf.TensorShape, ndims: int, name: str) -> None:
    """Raises unless conditions of rank `ndims` can be broadcast to a batch, as far as is known.

    Raises:
      ValueError: If they cannot, as a column of class ids beside a vector of examples.
    """
    received = condition.shape[: condition.shape.rank - ndims]
    try:
        fits = tf.broadcast_static_shape(received, batch).is_compatible_with(batch)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"condition of {name} must be one for each of {tuple(batch)} examples, or for all. "
            f"Received: {tuple(received)} conditions."
        )


def check_class_ids(condition, classes: range, name: str) -> None:
    """Raises unless a condition holds class ids, in range as far as they are known already.

    Raises:
      TypeError: If the ids are no integers.
      ValueError: If an id is out of range.
    """
    if not condition.dtype.is_integer:
        raise TypeError(
            f"condition of {name} must hold integer class ids. "
            f"Received: dtype {condition.dtype.name}."
        )
    known = tf.get_static_value(condition)
    if known is not None and ((known < classes.start) | (known >= classes.stop)).any():
        raise ValueError(
            f"condition of {name} must hold class ids from {classes.start} to {classes[-1]}. "
            f"Received: ids from {known.min()} to {known.max()}."
        )


def condition_for(bijector: tfb.Bijector, condition):
    """The condition where `bijector` takes one, None elsewhere."""
    return condition if getattr(bijector, "condition_shape", None) is not None else None


def condition_of_samples(condition, shape: tuple[int, ...] | None, sample_shape):
    """The condition as a tensor, whose leading dimensions are the last ones of the samples."""
    if condition is None or shape is None:
        return condition
    condition = tf.convert_to_tensor(condition)
    batch = condition.shape[: condition.shape.rank - len(shape)]
    samples = tf.get_static_value(sample_shape)
    if samples is None or not batch.is_fully_defined():
        return condition
    samples = tuple(np.atleast_1d(samples).tolist())
    try:
        fits = np.broadcast_shapes(samples, batch) == samples
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"condition of {tuple(batch)} examples must fit the samples {samples}; "
            f"sample({(*samples, *batch)}, condition=...) draws {samples} of each."
        )
    return condition


def common_condition_shape(bijectors: Iterable[tfb.Bijector]) -> tuple[int, ...] | None:
    """The condition shape that the bijectors share, None where none takes a condition."""
    shapes = {getattr(b, "condition_shape", None) for b in bijectors} - {None}
    if len(shapes) > 1:
        raise ValueError(
            "bijectors that take a condition must agree on its shape. "
            f"Received: condition shapes {sorted(shapes)}."
        )
    return next(iter(shapes), None)


def _message(shape: tuple[int, ...], name: str, received: str) -> str:
    sizes = ", ".join(map(str, shape))
    return f"condition of {name} must have shape [..., {sizes}]. Received: {received}."
