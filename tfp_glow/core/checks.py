"""Checks of arguments; each names the argument and what was received."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["check_channels", "check_choice", "check_positive_int", "event_dimensions"]


def check_positive_int(value, argument: str) -> int:
    """Returns `value` if it is an int above 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} must be an int. Received: {value!r}.")
    if value < 1:
        raise ValueError(f"{argument} must be at least 1. Received: {value}.")
    return value


def check_choice(value, choices, argument: str):
    """Returns `value` if it is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{argument} must be one of {sorted(choices)}. Received: {value!r}.")
    return value


def check_channels(value, channels: int, name: str) -> None:
    """Raises unless the last dimension of a tensor is `channels`."""
    if value.shape[-1] not in (None, channels):
        raise ValueError(
            f"{name} was built for {channels} channels in the last dimension. "
            f"Received: shape {tuple(value.shape)}."
        )


def event_dimensions(
    event_ndims: int | None, event_shape: int | Sequence[int] | None
) -> tuple[int, tuple[int, ...] | None]:
    """The rank of an event and its shape, from whichever is given; rank 1 where neither is."""
    if event_shape is None:
        ndims = 1 if event_ndims is None else check_positive_int(event_ndims, "event_ndims")
        return ndims, None
    shape = (event_shape,) if isinstance(event_shape, int) else tuple(event_shape)
    for size in shape:
        check_positive_int(size, "event_shape")
    if event_ndims not in (None, len(shape)):
        raise ValueError(
            f"event_ndims must be {len(shape)}, the rank of event_shape={event_shape}. "
            f"Received: {event_ndims}."
        )
    return len(shape), shape
