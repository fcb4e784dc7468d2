"""The command line `tfp-glow`: its commands, the version and the errors of all."""

from __future__ import annotations

import sys
from typing import Annotated

from tfp_glow import __version__
from tfp_glow.app.errors import user_message

try:
    import typer
    from typer.core import TyperGroup

    from tfp_glow.app.commands import COMMANDS
except ImportError as missing:
    sys.stderr.write(f'Error: tfp-glow needs {missing.name}. pip install "tfp-glow[train]"\n')
    raise SystemExit(2) from missing

__all__ = ["app", "main"]


class _Group(TyperGroup):
    """Commands whose users' errors are one line each; errors of the program show where."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = user_message(error)
            if message is None:
                raise
            typer.echo(f"Error: {' '.join(message.split())}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Runs the command line."""
    app(prog_name="tfp-glow")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tfp-glow {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
):
    """Trains normalizing flows on images and tables, and other models of images."""
