"""Options of the command line that are declared elsewhere: the fields of `Settings`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Annotated

import typer

from tfp_glow.app.settings import Settings

__all__ = ["takes_settings"]


def takes_settings(command: Callable) -> Callable:
    """Gives a command an option for each field of `Settings`, before its own ones.

    Its first argument becomes the dict of those that the user gave.

    Example:

        @app.command()
        @takes_settings
        def train(given, *, output: pathlib.Path):
            settings = Settings(**given)
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def run(ctx: typer.Context, **values):
        given = {
            name: values[name]
            for name in _NAMES
            if ctx.get_parameter_source(name).name != "DEFAULT"
        }
        command(given, **{parameter.name: values[parameter.name] for parameter in own})

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__signature__ = inspect.Signature([context, *_options(), *own])
    return run


_NAMES = tuple(field.name for field in dataclasses.fields(Settings))


def _options() -> list[inspect.Parameter]:
    types = typing.get_type_hints(Settings)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[types[field.name], _option(field, types[field.name])],
        )
        for field in dataclasses.fields(Settings)
    ]


def _option(field: dataclasses.Field, kind: type):
    # A switch that is off has no opposite.
    names = [f"--{field.name.replace('_', '-')}"] if kind is bool else []
    return typer.Option(
        *names, help=field.metadata["help"], rich_help_panel=field.metadata["panel"]
    )
