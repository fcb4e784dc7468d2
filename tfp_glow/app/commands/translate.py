"""`tfp-glow translate`."""

from __future__ import annotations

import functools
import pathlib
from typing import Annotated

import typer

from tfp_glow.app.commands.parameters import DataDir, Download, Seed
from tfp_glow.app.translation import (
    draw_translation,
    load_domain_map,
    source_images,
    translate_images,
)
from tfp_glow.app.written_images import write_images

__all__ = ["translate"]


def translate(
    model: Annotated[
        pathlib.Path,
        typer.Argument(help="A .keras file of a DomainMapModel.", show_default=False),
    ],
    data: Annotated[str, typer.Option(help="Source of the images, as for train.")],
    data_dir: DataDir = None,
    download: Download = False,
    back: Annotated[bool, typer.Option("--back", help="Map y to x, not x to y.")] = False,
    num: Annotated[int, typer.Option(min=1, help="Number of test images.")] = 12,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Factor of the latents that are not tied.")
    ] = 1.0,
    seed: Seed = 0,
    output: Annotated[
        pathlib.Path, typer.Option(help="A picture, or a .npz file of integers.")
    ] = pathlib.Path("translated.png"),
):
    """Map test images of one domain to the other."""
    found = load_domain_map(model)
    images = source_images(found, data, num, back=back, data_dir=data_dir, download=download)
    options = {"back": back, "temperature": temperature, "seed": seed}
    translated = translate_images(found, images, **options)
    draw = functools.partial(draw_translation, found, images, translated, back=back)
    write_images(output, draw, images=images, translated=translated)
    typer.echo(f"Wrote {output}.")
