"""`tfp-glow export`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from tfp_glow.app.commands.parameters import RunPath
from tfp_glow.app.errors import UserError
from tfp_glow.app.trained import load_trained

__all__ = ["export"]


def export(
    run: RunPath,
    path: Annotated[pathlib.Path, typer.Argument(help="Folder to write.", show_default=False)],
):
    """Write a SavedModel that TensorFlow alone loads and runs."""
    if path.exists():
        raise UserError(f"path must not exist yet. Received: {str(path)!r}, which does.")
    trained = load_trained(run)
    trained.task.export(trained.model, path)
    typer.echo(f"Wrote {path}.")
