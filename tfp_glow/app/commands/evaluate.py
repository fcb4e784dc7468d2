"""`tfp-glow evaluate`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from tfp_glow.app.commands.parameters import Data, DataDir, Download, RunPath, Seed
from tfp_glow.app.errors import UserError
from tfp_glow.app.trained import load_trained

__all__ = ["evaluate"]


def evaluate(
    run: RunPath,
    data: Data = None,
    data_dir: DataDir = None,
    download: Download = False,
    importance_samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="Samples of the noise for the bound of an image, of a flow; 1 when omitted."
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Of a flow on images, a picture of how many have which bits per dimension; of one "
            "on a table, a .csv file with log p of each test row."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Source of other images to draw beside them in the picture.")
    ] = None,
    seed: Seed = 0,
):
    """Print how good a model is on the test data: bits per dimension, nats, or how many right."""
    if against is not None and output is None:
        raise UserError("against needs the output to draw.")
    trained = load_trained(run)
    task, where = trained.task, {"data_dir": data_dir, "download": download}
    options = {"importance_samples": importance_samples, "output": output, "against": against}
    given = task.meaningful(task.evaluate, options)
    found = trained.data(data, **where)
    if against is not None:
        given["against"] = {against: trained.data(against, **where)}
    for line in task.evaluate(trained.model, found, seed=seed, **given):
        typer.echo(line)
