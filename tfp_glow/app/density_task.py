"""Learning the density of images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf

from tfp_glow.app.generation import estimates_deviation, mean_bits_per_dim
from tfp_glow.app.image_task import ImageKind, ImageTask
from tfp_glow.app.pictures import PICTURES, draw_pictures
from tfp_glow.app.settings import Settings
from tfp_glow.data import ImageData
from tfp_glow.dequantization import Dequantized
from tfp_glow.export import export_saved_model
from tfp_glow.flows import dequantization_noise
from tfp_glow.model import FlowModel

__all__ = ["Density"]


class Density(ImageTask):
    """A `FlowModel` of a flow over dequantized images, measured in bits per dimension."""

    product = "a flow"
    curves = {"bits_per_dim": "Bits per dimension"}  # noqa: RUF012
    pictures = PICTURES

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

    def measure(
        self, model: FlowModel, batches: tf.data.Dataset, *, seed: int = 0, num_samples: int = 1
    ) -> float:
        return mean_bits_per_dim(model.distribution, batches, num_samples=num_samples, seed=seed)

    def describe(self, measured: float) -> str:
        return f"{measured:.4f} bits/dim"

    def remarks(self, model: FlowModel, batches: tf.data.Dataset, *, seed: int) -> Iterator[str]:
        deviation = estimates_deviation(model.distribution, batches, seed=seed)
        if deviation > 0:
            yield f"Log-dets are estimates: an image's bits/dim deviate by {deviation:.4f}"

    def draw(
        self, model: FlowModel, data: ImageData, folder: str | os.PathLike, *, seed: int
    ) -> None:
        draw_pictures(model.distribution, data, folder, seed=seed)

    def export(self, model: FlowModel, path: str | os.PathLike) -> None:
        export_saved_model(model.distribution, path)
