"""Recipes: functions that build a published flow and remember how they were called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec

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

__all__ = ["RECIPES", "recipe"]

_Arguments = ParamSpec("_Arguments")

RECIPES: dict[str, Callable[..., Flow]] = {}


def _check_marginal_bins(value, argument: str) -> None:
    """Raises unless a number of bins is one, or "auto"."""
    if isinstance(value, str):
        check_choice(value, ("auto",), argument)
    else:
        check_positive_int(value, argument, least=2)


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
    "dtype": check_dtype,
    "hidden_units": check_hidden_units,
    "label_dropout": functools.partial(check_number, least=0, below=1),
    "marginal_bins": _check_marginal_bins,
    "network_dtype": check_dtype_policy,
    "reach": check_reach,
    "seed": check_seed,
}


def recipe(function: Callable[_Arguments, Flow]) -> Callable[_Arguments, Flow]:
    """Registers a function under its name; its flows carry the arguments that rebuild them."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def build(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Flow:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for argument, value in bound.arguments.items():
            optional = "None" in str(signature.parameters[argument].annotation)
            if argument in _CHECKS and not (value is None and optional):
                _CHECKS[argument](value, argument)
        flow = function(*bound.args, **bound.kwargs)
        flow.remember_recipe(function.__name__, dict(bound.arguments))
        return flow

    RECIPES[function.__name__] = build
    return build
