"""Recipes: functions that build a published flow and remember how they were called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence, Sized
from typing import ParamSpec

import numpy as np

from tfp_glow.core.checks import (
    check_bool,
    check_choice,
    check_dtype,
    check_dtype_policy,
    check_hidden_units,
    check_number,
    check_positive_int,
    check_seed,
)
from tfp_glow.core.conditioner import check_reach
from tfp_glow.flow import Flow

__all__ = ["RECIPES", "options_elsewhere", "recipe"]

_Arguments = ParamSpec("_Arguments")

RECIPES: dict[str, Callable[..., Flow]] = {}
# Arguments of recipes that are of vectors alone, and those that are of images alone.
_OF_VECTORS: dict[str, frozenset[str]] = {}
_OF_IMAGES: dict[str, frozenset[str]] = {}


def _or_auto(check: Callable) -> Callable:
    """A check that lets "auto" pass."""

    def checked(value, argument: str) -> None:
        if isinstance(value, str):
            check_choice(value, ("auto",), argument)
        else:
            check(value, argument)

    return checked


_SIZES = (
    *("bins", "blocks", "channel_couplings", "couplings", "exact_terms"),
    *("heads", "hidden_channels", "layers", "levels", "patch_size", "steps", "terms", "width"),
)
_SWITCHES = ("exact", "memory_saving", "residual", "reversible", "unroll")
_SHARE = functools.partial(check_number, above=0, below=1)
# Arguments that mean the same to every recipe; None, where its annotation has it, is left to it.
_CHECKS: dict[str, Callable] = {
    **dict.fromkeys(_SIZES, check_positive_int),
    **dict.fromkeys(_SWITCHES, check_bool),
    **dict.fromkeys(("kinetic", "jacobian"), functools.partial(check_number, least=0)),
    **dict.fromkeys(("bound", "tolerance"), functools.partial(check_number, above=0)),
    **dict.fromkeys(("coefficient", "factor_out"), _SHARE),
    "alpha": functools.partial(check_number, above=0, below=0.5),
    "dropout": _or_auto(functools.partial(check_number, least=0, below=1)),
    "dtype": check_dtype,
    "hidden_units": check_hidden_units,
    "label_dropout": functools.partial(check_number, least=0, below=1),
    "marginal_bins": _or_auto(functools.partial(check_positive_int, least=2)),
    "network_dtype": check_dtype_policy,
    "reach": _or_auto(check_reach),
    "seed": check_seed,
}


def recipe(
    *, vectors: Sequence[str] = (), images: Sequence[str] = ()
) -> Callable[[Callable[_Arguments, Flow]], Callable[_Arguments, Flow]]:
    """Registers a function under its name; its flows carry the arguments that rebuild them.

    Args:
      vectors: Arguments that are of vectors alone, which images have no use for.
      images: Arguments that are of images alone.
    """

    def register(function: Callable[_Arguments, Flow]) -> Callable[_Arguments, Flow]:
        name, signature = function.__name__, inspect.signature(function)

        @functools.wraps(function)
        def build(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Flow:
            bound = signature.bind(*args, **kwargs)
            bound.arguments.update(_whole_numbers(bound.arguments))
            event_shape = bound.arguments.get("event_shape")
            elsewhere = options_elsewhere(name, event_shape)
            _refuse(elsewhere & bound.arguments.keys(), event_shape)
            bound.apply_defaults()
            arguments = {n: v for n, v in bound.arguments.items() if n not in elsewhere}
            _check(arguments, signature)
            flow = function(*bound.args, **bound.kwargs)
            flow.remember_recipe(name, arguments)
            return flow

        RECIPES[name] = build
        _OF_VECTORS[name], _OF_IMAGES[name] = frozenset(vectors), frozenset(images)
        return build

    return register


def options_elsewhere(name: str, event_shape) -> frozenset[str]:
    """Arguments of the recipe with this name that events of this shape have no use for."""
    if isinstance(event_shape, int):
        return _OF_IMAGES[name]
    is_image = isinstance(event_shape, Sized) and len(event_shape) == 3
    return _OF_VECTORS[name] if is_image else frozenset()


def _whole_numbers(arguments: dict) -> dict:
    """Those of the arguments that are NumPy's integers, as Python's."""
    return {name: int(value) for name, value in arguments.items() if isinstance(value, np.integer)}


def _check(arguments: dict, signature: inspect.Signature) -> None:
    for argument, value in arguments.items():
        optional = "None" in str(signature.parameters[argument].annotation)
        if argument in _CHECKS and not (value is None and optional):
            _CHECKS[argument](value, argument)


def _refuse(options: frozenset[str], event_shape) -> None:
    if options:
        kinds = ["images", "vectors"] if isinstance(event_shape, int) else ["vectors", "images"]
        raise ValueError(
            f"{', '.join(sorted(options))} is of {kinds[0]} alone: leave it out for {kinds[1]}. "
            f"Received it with event_shape={event_shape!r}."
        )
