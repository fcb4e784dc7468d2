"""Learning images by a variational autoencoder."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.app import plots
from tfp_glow.app.image_task import ImageKind, ImageTask
from tfp_glow.app.pictures import first_images
from tfp_glow.app.settings import Settings
from tfp_glow.core.modes import evaluation
from tfp_glow.data import ImageData
from tfp_glow.inference import VAE

__all__ = ["Autoencode"]

SAMPLES, RECONSTRUCTIONS = "samples.png", "reconstructions.png"
TEMPERATURES = (0.0, 0.5, 0.7, 1.0)
COLUMNS = 12
IMPORTANCE_IMAGES, IMPORTANCE_SAMPLES = 100, 1000


class Autoencode(ImageTask):
    """A `VAE` of integer images, measured by minus its bound, in nats an image."""

    name = "vae"
    product = "an autoencoder"
    curves = {"nats": "Minus the bound, nats", "kl": "KL divergence, nats"}  # noqa: RUF012
    pictures = (SAMPLES, RECONSTRUCTIONS)

    def owns(self, model: keras.Model) -> bool:
        is_of_images = isinstance(model, VAE) and len(model.event_shape) == 3
        return is_of_images and model.num_bins is not None

    def new_model(self, settings: Settings, data: ImageData) -> VAE:
        # Of the encoder and the decoder, whose layers have no seeds.
        keras.utils.set_random_seed(settings.seed)
        return settings.build(data.image_shape, None, num_bins=data.num_bins)

    def compile_options(self) -> dict:
        return {}

    def image_kind(self, model: VAE) -> ImageKind:
        return ImageKind(model.event_shape, model.num_bins, None)

    def measure(self, model: VAE, batches: tf.data.Dataset, *, seed: int = 0) -> float:
        @tf.function(
            input_signature=[batches.element_spec, tf.TensorSpec([2], tf.int32)], autograph=False
        )
        def nats(images, batch_seed):
            with evaluation():
                return -model.bound(images, seed=batch_seed)

        found = [nats(images, [seed, index]) for index, images in enumerate(batches)]
        return float(np.mean(np.concatenate(found), dtype=np.float64))

    def describe(self, measured: float) -> str:
        return f"{measured:.3f} nats, minus the bound"

    def evaluate(self, model: VAE, data: ImageData, *, seed: int) -> Iterator[str]:
        yield from super().evaluate(model, data, seed=seed)
        images, _ = first_images(data.test, IMPORTANCE_IMAGES)
        log_prob = model.importance_weighted_bound(images, IMPORTANCE_SAMPLES, seed=seed)
        yield (
            f"-log p(x) of the first {len(images)} by {IMPORTANCE_SAMPLES} importance samples: "
            f"{-np.mean(log_prob):.3f} nats"
        )

    def draw(self, model: VAE, data: ImageData, folder: str | os.PathLike, *, seed: int) -> None:
        samples = {
            t: model.decode(model.prior.sample(COLUMNS, temperature=t, seed=seed))
            for t in TEMPERATURES
        }
        images, _ = first_images(data.test, COLUMNS)
        figures = {
            SAMPLES: plots.plot_samples(samples, num_bins=data.num_bins),
            RECONSTRUCTIONS: plots.image_grid(
                [images, model.reconstruct(images)],
                num_bins=data.num_bins,
                row_labels=["x", "decoded"],
                title="Test images x above decode(encode(x))",
            ),
        }
        for name, figure in figures.items():
            plots.save_figure(figure, pathlib.Path(folder) / name)

    def export(self, model: VAE, path: str | os.PathLike) -> None:
        model.export_saved_model(path)
