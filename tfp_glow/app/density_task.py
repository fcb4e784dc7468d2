"""Learning the density of images."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.app import plots
from tfp_glow.app.errors import UserError, blames_input
from tfp_glow.app.generation import (
    bits_per_dim_of,
    estimates_deviation,
    mean_bits_per_dim,
    sample_images,
)
from tfp_glow.app.image_task import ImageKind, ImageTask
from tfp_glow.app.pictures import PICTURES, draw_pictures
from tfp_glow.app.settings import Settings
from tfp_glow.app.task import Sampler
from tfp_glow.app.written_images import write_images
from tfp_glow.data import ImageData
from tfp_glow.dequantization import Dequantized
from tfp_glow.export import export_saved_model
from tfp_glow.flows import dequantization_noise
from tfp_glow.model import FlowModel

__all__ = ["Density"]


class Density(ImageTask, Sampler):
    """A `FlowModel` of a flow over dequantized images, measured in bits per dimension."""

    name = "density"
    product = "a flow"
    curves = {"bits_per_dim": "Bits per dimension"}  # noqa: RUF012
    pictures = PICTURES
    samples_file = "samples.png"

    def owns(self, model: keras.Model) -> bool:
        return isinstance(getattr(model, "distribution", None), Dequantized)

    def new_model(self, settings: Settings, data: ImageData) -> FlowModel:
        flow = settings.build(data.image_shape, data.num_classes)
        noise = None
        if settings.dequantization == "variational":
            noise = dequantization_noise(data.image_shape, seed=settings.seed)
        distribution = Dequantized(flow, data.num_bins, noise=noise)
        return FlowModel(distribution, loss=settings.loss, seed=settings.seed)

    def curves_of(self, settings: Settings) -> Mapping[str, str]:
        if settings.loss == "likelihood":
            return self.curves
        return {"velocity_error": "Mean squared error of the velocity"}

    def compile_options(self) -> dict:
        return {}

    def image_kind(self, model: FlowModel) -> ImageKind:
        distribution = model.distribution
        return ImageKind(
            tuple(distribution.event_shape), distribution.num_bins, distribution.num_classes
        )

    def settings_for(self, model: FlowModel) -> Settings:
        conditional = model.distribution.num_classes is not None
        return dataclasses.replace(super().settings_for(model), conditional=conditional)

    def measure(self, model: FlowModel, batches: tf.data.Dataset, *, seed: int = 0) -> float:
        return mean_bits_per_dim(model.distribution, batches, seed=seed)

    def describe(self, measured: float) -> str:
        return f"{measured:.4f} bits/dim"

    def evaluate(
        self,
        model: FlowModel,
        data: ImageData,
        *,
        seed: int,
        importance_samples: int = 1,
        output: pathlib.Path | None = None,
        against: Mapping[str, ImageData] | None = None,
    ) -> Iterator[str]:
        """Draws how many images have which bits per dimension to the output, if there is one."""
        options = {"num_samples": importance_samples, "seed": seed}
        bits_of = functools.partial(bits_per_dim_of, model.distribution, **options)
        bits = bits_of(data.test)
        yield self.found(float(np.mean(bits, dtype=np.float64)))
        if output is not None:
            others = {source: bits_of(other.test) for source, other in (against or {}).items()}
            with blames_input():
                figure = plots.plot_likelihoods({"test images": bits, **others})
                plots.save_figure(figure, output)
            yield f"Wrote {output}."
        deviation = estimates_deviation(model.distribution, data.test, seed=seed)
        if deviation > 0:
            yield f"Log-dets are estimates: an image's bits/dim deviate by {deviation:.4f}"

    def sample(
        self,
        model: FlowModel,
        num: int,
        output: pathlib.Path,
        *,
        temperature: float,
        seed: int,
        class_id: int | None = None,
        guidance: float | None = None,
    ) -> None:
        """Writes images of a class, or of each in turn, as a picture or to a .npz file."""
        distribution = model.distribution
        condition = _classes(distribution, num, class_id)
        if guidance is not None and not distribution.flow.takes_guidance:
            raise UserError(f"guidance needs a tarflow with classes. Received: {guidance}.")
        options = {"condition": condition, "guidance": guidance, "seed": seed}
        (images,) = sample_images(distribution, num, temperatures=(temperature,), **options)
        columns = math.ceil(math.sqrt(num))
        rows = [images[start : start + columns] for start in range(0, num, columns)]
        labels = {} if condition is None else {"labels": condition}
        draw = functools.partial(plots.image_grid, rows, num_bins=distribution.num_bins)
        write_images(output, draw, images=images, **labels)

    def draw(
        self, model: FlowModel, data: ImageData, folder: str | os.PathLike, *, seed: int
    ) -> None:
        draw_pictures(model.distribution, data, folder, seed=seed)

    def export(self, model: FlowModel, path: str | os.PathLike) -> None:
        export_saved_model(model.distribution, path)


def _classes(distribution: Dequantized, num: int, class_id: int | None) -> np.ndarray | None:
    """The classes of `num` samples: all of one, or each in turn; None where the flow has none."""
    classes = distribution.num_classes
    if class_id is not None and not 0 <= class_id < (classes or 0):
        known = f"be from 0 to {classes - 1}" if classes else "be omitted: the flow has no classes"
        raise UserError(f"class must {known}. Received: {class_id}.")
    if classes is None:
        return None
    return np.arange(num) % classes if class_id is None else np.full(num, class_id)
