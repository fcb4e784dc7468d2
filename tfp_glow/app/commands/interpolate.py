"""`tfp-glow interpolate`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from tfp_glow.app import plots
from tfp_glow.app.commands.parameters import Data, DataDir, Download, RunPath, Seed
from tfp_glow.app.errors import blames_input
from tfp_glow.app.generation import interpolate_images
from tfp_glow.app.pictures import image_pairs
from tfp_glow.app.trained import load_trained

__all__ = ["interpolate"]


def interpolate(
    run: RunPath,
    data: Data = None,
    data_dir: DataDir = None,
    download: Download = False,
    pairs: Annotated[int, typer.Option(min=1, help="Number of pairs of test images.")] = 5,
    steps: Annotated[int, typer.Option(min=2, help="Images from one to the other.")] = 12,
    seed: Seed = 0,
    output: Annotated[pathlib.Path, typer.Option(help="A picture.")] = pathlib.Path(
        "interpolation.png"
    ),
):
    """Draw the paths between the latents of test images."""
    trained = load_trained(run, "density")
    found = trained.data(data, data_dir=data_dir, download=download)
    distribution = trained.model.distribution
    start, end, labels = image_pairs(found.test, pairs, seed=seed)
    paths = interpolate_images(distribution, start, end, steps=steps, condition=labels, seed=seed)
    with blames_input():
        figure = plots.plot_interpolation(paths, num_bins=distribution.num_bins)
        plots.save_figure(figure, output)
    typer.echo(f"Wrote {output}.")
