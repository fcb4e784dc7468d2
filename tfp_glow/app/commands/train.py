"""`tfp-glow train`."""

from __future__ import annotations

import pathlib
import shlex
import sys
from typing import Annotated

import typer

from tfp_glow.app.command_options import takes_settings
from tfp_glow.app.errors import blames_input
from tfp_glow.app.run import Run
from tfp_glow.app.settings import Settings

__all__ = ["train"]


@takes_settings
def train(
    given: dict,
    *,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Folder to write; runs/ARCHITECTURE-DATA when omitted.",
            rich_help_panel="Output",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in the output folder with its own settings. "
            "A larger --epochs prolongs it.",
            rich_help_panel="Output",
        ),
    ] = False,
):
    """Train a flow on images, by default Glow on scikit-learn's 8x8 digits, or another model.

    A table, as --data measurements.csv, is learned by a flow on its rows; --target names columns to
    condition on.

    What is not given is as it suits the digits. For 32x32 color images start from --levels 3
    --steps 32 --hidden-channels 512 --learning-rate 1e-3 --warmup-epochs 10 --weight-decay 0, on a
    GPU.

    --task classify trains a reversible classifier, --model names which. --task vae trains a
    variational autoencoder, --posterior and --prior name its flows; with --num-bits 1 its pixels
    are black or white.
    """
    folder = output or _settings(given).default_folder()
    # What is given to a run that goes on means something with its own settings alone.
    run = Run.resume(folder, **given) if resume else Run(_settings(given), folder)
    try:
        measured = run.train(verbose=1 if sys.stdout.isatty() else 2, report=typer.echo)
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted. {_how_to_go_on(run)}", err=True)
        raise typer.Exit(130) from None
    if measured is None:
        typer.echo(f"Training is over on this worker. The first one writes {folder}.")
        return
    typer.echo(f"{run.task.found(measured)}. The model and its pictures are in {folder}.")


def _settings(given: dict) -> Settings:
    with blames_input():
        return Settings(**given)


def _how_to_go_on(run: Run) -> str:
    if not run.config_file.exists():
        return "Nothing was written yet."
    saved = f"The model is saved in {run.model_file}. " if run.model_file.exists() else ""
    return f"{saved}Continue with: tfp-glow train --output {shlex.quote(str(run.folder))} --resume"
