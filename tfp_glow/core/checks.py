"""Checks of arguments; each names the argument and what was received."""

from __future__ import annotations

__all__ = ["check_channels", "check_choice", "check_positive_int"]


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
