"""Recipes: functions that build a published flow and remember how they were called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

from tfp_glow.flow import Flow

__all__ = ["RECIPES", "recipe"]

RECIPES: dict[str, Callable[..., Flow]] = {}


def recipe(function: Callable[..., Flow]) -> Callable[..., Flow]:
    """Registers a function under its name; its flows carry the arguments that rebuild them."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def build(*args, **kwargs) -> Flow:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        flow = function(*bound.args, **bound.kwargs)
        flow.remember_recipe(function.__name__, dict(bound.arguments))
        return flow

    RECIPES[function.__name__] = build
    return build
