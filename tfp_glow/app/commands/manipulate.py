"""`tfp-glow manipulate`."""

from __future__ import annotations

import functools
import pathlib
from typing import Annotated

import typer

from tfp_glow.app import plots
from tfp_glow.app.commands.parameters import Data, DataDir, Download, RunPath, Seed
from tfp_glow.app.errors import blames_input
from tfp_glow.app.generation import direction_of_images, manipulate_images
from tfp_glow.app.pictures import first_images
from tfp_glow.app.trained import load_trained
from tfp_glow.app.written_images import write_images

__all__ = ["manipulate"]


def manipulate(
    run: RunPath,
    group_with: Annotated[
        str, typer.Option("--with", help="Source of images with an attribute, as for train.")
    ],
    group_without: Annotated[
        str, typer.Option("--without", help="Source of images without the attribute.")
    ],
    data: Data = None,
    data_dir: DataDir = None,
    download: Download = False,
    strengths: Annotated[
        list[float],
        typer.Option(
            help="Factor of the way from the images without to those with; repeat it for each."
        ),
    ] = (-1.0, -0.5, 0.0, 0.5, 1.0),
    num: Annotated[int, typer.Option(min=1, help="Number of test images.")] = 8,
    seed: Seed = 0,
    output: Annotated[
        pathlib.Path, typer.Option(help="A picture, or a .npz file of integers.")
    ] = pathlib.Path("manipulated.png"),
):
    """Give test images more or less of an attribute that two groups of images differ in."""
    trained = load_trained(run, "density")
    distribution, where = trained.model.distribution, {"data_dir": data_dir, "download": download}
    found = trained.data(data, **where)
    (images_with, labels_with), (images_without, labels_without) = (
        trained.group(source, **where) for source in (group_with, group_without)
    )
    direction = direction_of_images(
        distribution,
        images_with,
        images_without,
        condition_with=labels_with,
        condition_without=labels_without,
        seed=seed,
    )
    images, labels = first_images(found.test, num)
    with blames_input():
        altered = manipulate_images(
            distribution, images, direction, strengths, condition=labels, seed=seed
        )
    num_bins = distribution.num_bins
    draw = functools.partial(plots.plot_manipulation, altered, strengths, num_bins=num_bins)
    write_images(output, draw, images=altered, strengths=strengths)
    typer.echo(f"Wrote {output}.")
