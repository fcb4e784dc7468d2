"""What a constructor is called with."""

from __future__ import annotations

import inspect

__all__ = ["bound_arguments"]


def bound_arguments(cls: type, args: tuple, kwargs: dict) -> dict:
    """The arguments of a constructor call by name, defaults included; a `__new__` notes them."""
    signature = inspect.signature(cls.__init__)
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:
        return {}  # The call itself says what is wrong.
    bound.apply_defaults()
    _, *arguments = bound.arguments.items()
    return dict(arguments)
