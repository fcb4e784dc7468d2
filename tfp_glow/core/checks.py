"""Checks of arguments; each names the argument and what was received."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

__all__ = [
    "check_bool",
    "check_callable",
    "check_channels",
    "check_choice",
    "check_dtype",
    "check_dtype_policy",
    "check_event",
    "check_hidden_units",
    "check_number",
    "check_positive_int",
    "check_seed",
    "check_sizes",
    "event_dimensions",
]


def check_positive_int(value, argument: str, *, least: int = 1) -> int:
    """Returns `value` if it is an int above 0, or from `least` on."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{argument} must be an int. Received: {value!r}.")
    if value < least:
        raise ValueError(f"{argument} must be at least {least}. Received: {value}.")
    return int(value)


def check_number(
    value, argument: str, *, above: float = -math.inf, below: float = math.inf, least=None
) -> float:
    """Returns `value` if it is a finite number strictly between two others, or from `least` on."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{argument} must be a number. Received: {value!r}.")
    if least is not None and not (value >= least and math.isfinite(value)):
        raise ValueError(f"{argument} must be at least {least} and finite. Received: {value}.")
    if not above < value < below:
        raise ValueError(f"{argument} {_between(above, below)}. Received: {value}.")
    return value


def check_bool(value, argument: str) -> bool:
    """Returns `value` if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument} must be a bool. Received: {value!r}.")
    return bool(value)


def check_callable(value, argument: str) -> Callable:
    """Returns `value` if it can be called."""
    if not callable(value):
        raise TypeError(f"{argument} must be callable. Received: {value!r}.")
    return value


def check_choice(value, choices, argument: str):
    """Returns `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{argument} must be one of {sorted(choices)}. Received: {value!r}.")
    return value


def check_sizes(value, argument: str) -> tuple[int, ...]:
    """Returns a sequence of one or more ints above 0 as a tuple."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray | tf.TensorShape):
        raise TypeError(f"{argument} must be a sequence of ints. Received: {value!r}.")
    if not len(value):
        raise ValueError(f"{argument} must hold at least one size. Received: {value!r}.")
    return tuple(check_positive_int(n, f"{argument}[{i}]") for i, n in enumerate(value))


def check_hidden_units(value, argument: str = "hidden_units") -> tuple[int, ...]:
    """Returns the sizes of hidden layers, of which there may be none, as a tuple."""
    is_empty = isinstance(value, list | tuple) and not value
    return () if is_empty else check_sizes(value, argument)


def check_seed(value, argument: str = "seed") -> int | None:
    """Returns `value` if it is None or an int from 0 on."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{argument} must be an int or None. Received: {value!r}.")
    if value < 0:
        raise ValueError(f"{argument} must be at least 0. Received: {value}.")
    return int(value)


def check_dtype(value, argument: str = "dtype") -> tf.DType:
    """Returns the floating dtype that `value` names."""
    try:
        dtype = tf.as_dtype(value)
    except TypeError:
        raise TypeError(f"{argument} must be a floating dtype. Received: {value!r}.") from None
    if not dtype.is_floating:
        raise ValueError(f"{argument} must be a floating dtype. Received: {dtype.name}.")
    return dtype


def check_dtype_policy(value, argument: str) -> keras.DTypePolicy:
    """The Keras dtype policy that is meant."""
    try:
        return keras.dtype_policies.get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{argument} must be a Keras dtype or policy, as 'float32' or 'mixed_bfloat16'. "
            f"Received: {value!r}."
        ) from error


def check_channels(value, channels: int, name: str) -> tf.Tensor:
    """Returns a tensor whose last dimension is `channels`, which it also is when it is run.

    Where it is not known before, one channel would be broadcast to all of them.
    """
    received = value.shape[-1]
    if received not in (None, channels):
        raise ValueError(
            f"{name} was built for {channels} channels in the last dimension. "
            f"Received: shape {tuple(value.shape)}."
        )
    return value if received else tf.ensure_shape(value, [*value.shape[:-1], channels])


def check_event(value, event_shape: tf.TensorShape, argument: str) -> tf.Tensor:
    """Returns a tensor whose last dimensions are `event_shape`, which they also are when it is run.

    Raises:
      ValueError: If they cannot be, or the tensor's rank is not known.
    """
    rank, ndims = value.shape.rank, event_shape.rank
    if ndims is None:
        return value
    if rank is None:
        raise ValueError(
            f"{argument} must have a known rank, as tf.ensure_shape gives it. Received: {value!r}."
        )
    event = value.shape[max(rank - ndims, 0) :]
    if not event.is_compatible_with(event_shape):
        raise ValueError(
            f"{argument} must have event shape {tuple(event_shape)} in its last dimensions. "
            f"Received: shape {tuple(value.shape)}."
        )
    if event.is_fully_defined():
        return value
    return tf.ensure_shape(value, value.shape[: rank - ndims].concatenate(event_shape))


def event_dimensions(
    event_ndims: int | None, event_shape: int | Sequence[int] | None
) -> tuple[int, tuple[int, ...] | None]:
    """The rank of an event and its shape, from whichever is given; rank 1 where neither is."""
    if event_shape is None:
        ndims = 1 if event_ndims is None else check_positive_int(event_ndims, "event_ndims")
        return ndims, None
    if isinstance(event_shape, numbers.Integral):
        shape = (check_positive_int(event_shape, "event_shape"),)
    else:
        shape = check_sizes(event_shape, "event_shape")
    if event_ndims not in (None, len(shape)):
        raise ValueError(
            f"event_ndims must be {len(shape)}, the rank of event_shape={event_shape}. "
            f"Received: {event_ndims}."
        )
    return len(shape), shape


def _between(above: float, below: float) -> str:
    if math.isinf(above) and math.isinf(below):
        return "must be finite"
    if math.isinf(below):
        return f"must be above {above} and finite"
    return f"must lie between {above} and {below}"
