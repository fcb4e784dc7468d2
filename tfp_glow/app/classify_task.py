"""Classifying images."""

from __future__ import annotations

import os
import pathlib

import keras
import tensorflow as tf

from tfp_glow.app import plots
from tfp_glow.app.classification import (
    count_confusions,
    is_classifier,
    of_integers,
    reconstruct,
    statistics,
)
from tfp_glow.app.classifier_export import export_classifier
from tfp_glow.app.confusion_plot import plot_confusions
from tfp_glow.app.errors import UserError
from tfp_glow.app.image_task import ImageKind, ImageTask
from tfp_glow.app.pictures import first_images
from tfp_glow.app.settings import Settings
from tfp_glow.classifiers.irevnet import IRevNet
from tfp_glow.data import ImageData

__all__ = ["Classify"]

CONFUSION, RECONSTRUCTIONS = "confusion.png", "reconstructions.png"
COLUMNS = 12
BATCHES_FOR_STATISTICS = 256


class Classify(ImageTask):
    """A reversible classifier of standardized images, measured by its accuracy.

    What standardizes them is part of the model, which takes integers.
    """

    name = "classify"
    product = "a classifier"
    curves = {"loss": "Cross-entropy, nats", "accuracy": "Accuracy"}  # noqa: RUF012
    pictures = (CONFUSION, RECONSTRUCTIONS)

    def owns(self, model: keras.Model) -> bool:
        return is_classifier(model)

    def new_model(self, settings: Settings, data: ImageData) -> keras.Sequential:
        if data.num_classes < 2:
            raise UserError(
                f"data must have images of at least 2 classes. Received: {settings.data!r} "
                f"with {data.num_classes}."
            )
        network = settings.build(data.image_shape, data.num_classes)
        mean, deviation = statistics(data.epochs(0, 1).take(BATCHES_FOR_STATISTICS))
        return of_integers(network, mean, deviation, data.num_bins)

    def compile_options(self) -> dict:
        return {
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": [keras.metrics.SparseCategoricalAccuracy("accuracy")],
        }

    def image_kind(self, model: keras.Sequential) -> ImageKind:
        num_bins, num_classes = model.layers[0].num_bins, model.output_shape[-1]
        return ImageKind(model.input_shape[1:], num_bins, num_classes)

    def measure(self, model: keras.Sequential, batches: tf.data.Dataset, *, seed: int = 0) -> float:
        counts = count_confusions(model, batches)
        return float(counts.trace() / counts.sum())

    def describe(self, measured: float) -> str:
        return f"{measured:.2%} right"

    def draw(
        self, model: keras.Sequential, data: ImageData, folder: str | os.PathLike, *, seed: int
    ) -> None:
        folder = pathlib.Path(folder)
        confusions = plot_confusions(count_confusions(model, data.test))
        plots.save_figure(confusions, folder / CONFUSION)
        if isinstance(model.layers[1], IRevNet):
            images, _ = first_images(data.test, COLUMNS)
            figure = plots.plot_reconstructions(
                images,
                reconstruct(model, images),
                num_bins=data.num_bins,
                path="invert(features(x))",
            )
            plots.save_figure(figure, folder / RECONSTRUCTIONS)

    def export(self, model: keras.Sequential, path: str | os.PathLike) -> None:
        export_classifier(model, path)
