"""Images of one domain from those of another, by a trained domain map."""

from __future__ import annotations

import os

import keras
import numpy as np

from tfp_glow.app import plots
from tfp_glow.app.errors import UserError, blames_input
from tfp_glow.app.image_task import ImageKind
from tfp_glow.app.model_file import read_keras
from tfp_glow.app.pictures import first_images
from tfp_glow.data import load_images
from tfp_glow.dequantization import Dequantized
from tfp_glow.domains import DomainMapModel

__all__ = ["draw_translation", "load_domain_map", "source_images", "translate_images"]


def load_domain_map(path: str | os.PathLike) -> DomainMapModel:
    """The domain map between integer images in a `.keras` file.

    Raises:
      UserError: If there is none.
    """
    if not os.path.isfile(path):
        raise UserError(f"model must be a .keras file. Received: {str(path)!r}.")
    model = read_keras(path)
    if not _maps_images(model):
        raise UserError(
            "model must hold a DomainMapModel of two flows of images, Dequantized and without "
            f"conditions. Received: {str(path)!r}."
        )
    return model


def source_images(
    model: DomainMapModel,
    source: str,
    num: int,
    *,
    back: bool,
    data_dir: str | None,
    download: bool,
) -> np.ndarray:
    """The first test images of a source, integers `[N, H, W, C]`, of the side they are mapped from.

    Raises:
      UserError: If the source cannot be read, or has images of another kind.
    """
    kind = _kind(model.domain_map.flow_y if back else model.domain_map.flow_x)
    bits = kind.num_bins.bit_length() - 1
    num_bits = bits if kind.num_bins == 2**bits else 8
    with blames_input():
        found = load_images(source, num_bits=num_bits, data_dir=data_dir, download=download)
    received = ImageKind(tuple(found.image_shape), found.num_bins, None)
    if received != kind:
        raise UserError(f"data must have {kind}. Received: {source!r} with {received}.")
    if found.test is None:
        raise UserError(f"data must have test images. Received: {source!r}, which has none.")
    return first_images(found.test, num)[0]


def translate_images(
    model: DomainMapModel, images, *, back: bool, temperature: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Images of the other domain, integers `[N, H, W, C]`."""
    domain_map = model.domain_map
    translate = domain_map.translate_back if back else domain_map.translate
    return translate(images, temperature=temperature, seed=seed).numpy()


def draw_translation(model: DomainMapModel, images, translated, *, back: bool):
    """A figure of images above what they were mapped to, both with values from black to white."""
    sides = [("x", model.domain_map.flow_x.num_bins), ("y", model.domain_map.flow_y.num_bins)]
    labels, bins = zip(*(reversed(sides) if back else sides), strict=True)
    rows = [
        np.rint(255.0 * np.asarray(row) / max(count - 1, 1))
        for row, count in zip((images, translated), bins, strict=True)
    ]
    return plots.image_grid(rows, num_bins=256, row_labels=labels)


def _maps_images(model: keras.Model) -> bool:
    if not isinstance(model, DomainMapModel):
        return False
    sides = (model.domain_map.flow_x, model.domain_map.flow_y)
    return all(
        isinstance(side, Dequantized)
        and len(side.event_shape) == 3
        and side.condition_shape is None
        for side in sides
    )


def _kind(side: Dequantized) -> ImageKind:
    return ImageKind(tuple(side.event_shape), side.num_bins, None)
