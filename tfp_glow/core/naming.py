"""Names of bijectors."""

from __future__ import annotations

import functools

import keras

__all__ = ["unique_name"]


def unique_name(cls: type) -> str:
    """The class's name in snake case, numbered from the second time on."""
    prefix = _snake_case(cls.__name__)
    count = keras.backend.get_uid(prefix)
    return prefix if count == 1 else f"{prefix}_{count - 1}"


@functools.cache
def _snake_case(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")
