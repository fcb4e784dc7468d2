"""Checks that the networks share."""

from __future__ import annotations

__all__ = ["check_sizes"]


def check_sizes(**sizes: int) -> None:
    """Raises unless every size is an int above 0."""
    for argument, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{argument} must be an int. Received: {value!r}.")
        if value < 1:
            raise ValueError(f"{argument} must be at least 1. Received: {value}.")
