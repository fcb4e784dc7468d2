"""`tfp-glow sample`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from tfp_glow.app.commands.parameters import RunPath, Seed
from tfp_glow.app.tasks import SAMPLERS
from tfp_glow.app.trained import load_trained

__all__ = ["sample"]


def sample(
    run: RunPath,
    num: Annotated[int, typer.Option(min=1, help="Number of images or rows.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="Factor of the noise.")] = 1.0,
    class_id: Annotated[
        int | None,
        typer.Option("--class", help="Class of the images; each in turn when omitted."),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0.0, help="Weight of guidance by the class, of tarflow.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER of a target of a table's rows; repeat it for each."),
    ] = None,
    seed: Seed = 0,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="A picture, or a .npz file of integers; samples.png when omitted. Of a table a "
            ".csv file with the same columns; samples.csv when omitted.",
            show_default=False,
        ),
    ] = None,
):
    """Draw new images, or rows of a table."""
    trained = load_trained(run, *SAMPLERS)
    task = trained.task
    options = {
        "temperature": temperature,
        "class_id": class_id,
        "guidance": guidance,
        "given": given or None,
    }
    meaningful = task.meaningful(task.sample, options)
    path = output or pathlib.Path(task.samples_file)
    task.sample(trained.model, num, path, seed=seed, **meaningful)
    typer.echo(f"Wrote {path}.")
