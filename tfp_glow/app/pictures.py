"""The pictures of a training run."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfp_glow.app import plots
from tfp_glow.app.errors import UserError
from tfp_glow.app.generation import interpolate_images, reconstruct, sample_images
from tfp_glow.data import ImageData
from tfp_glow.dequantization import Dequantized

__all__ = [
    "PICTURES",
    "draw_curves",
    "draw_pictures",
    "first_images",
    "image_pairs",
    "nearest_images",
]

PICTURES = ("samples.png", "neighbors.png", "reconstructions.png", "interpolation.png")
TEMPERATURES = (0.0, 0.5, 0.7, 1.0)
COLUMNS = 12
PATHS = 5
SEARCHED_IMAGES = 50_000


def draw_pictures(
    distribution: Dequantized, data: ImageData, folder: str | os.PathLike, *, seed: int = 0
) -> None:
    """Writes the files of `PICTURES`.

    Args:
      distribution: Distribution over the images.
      data: The images it was trained on; of its test images some are drawn.
      folder: Folder to write.
      seed: Seed of the samples.
    """
    condition = None
    if distribution.condition_shape is not None:
        condition = np.arange(COLUMNS) % data.num_classes
    samples = sample_images(
        distribution, COLUMNS, temperatures=TEMPERATURES, condition=condition, seed=seed
    )
    images, labels = first_images(data.test, COLUMNS)
    decoded = reconstruct(distribution, images, condition=labels, seed=seed)
    start, end, labels = image_pairs(data.test, PATHS)
    paths = interpolate_images(distribution, start, end, steps=COLUMNS, condition=labels, seed=seed)
    by_temperature = dict(zip(TEMPERATURES, samples, strict=True))
    num_bins = data.num_bins
    figures = (
        plots.plot_samples(by_temperature, num_bins=num_bins),
        plots.plot_neighbors(
            samples[-1], nearest_images(samples[-1], data.epochs(0, 1)), num_bins=num_bins
        ),
        plots.plot_reconstructions(images, decoded, num_bins=num_bins),
        plots.plot_interpolation(paths, num_bins=num_bins),
    )
    for name, figure in zip(PICTURES, figures, strict=True):
        plots.save_figure(figure, pathlib.Path(folder) / name)


def draw_curves(
    history: str | os.PathLike, path: str | os.PathLike, headings: Mapping[str, str]
) -> None:
    """Writes the learning curves of a `keras.callbacks.CSVLogger` file as a picture."""
    table = np.atleast_1d(np.genfromtxt(history, delimiter=",", names=True))
    curves = {name: table[name] for metric in headings for name in (metric, f"val_{metric}")}
    plots.save_figure(plots.plot_curves(curves, headings), path)


def image_pairs(batches: tf.data.Dataset, num: int, *, seed: int | None = None):
    """Pairs of images, of one class where the data have labels.

    Args:
      batches: Batches of images, or pairs of images and labels.
      num: Number of pairs; where the data give fewer, so does this.
      seed: Seed that chooses the pairs; the first ones when omitted.

    Returns:
      The pairs' first images, their second ones, and their labels or None.

    Raises:
      UserError: If the data give no pair.
    """
    examples = batches.unbatch()
    if seed is not None:
        examples = examples.shuffle(1024, seed=seed)
    waiting, pairs = {}, []
    for example in examples.as_numpy_iterator():
        image, label = example if isinstance(example, tuple) else (example, None)
        if label in waiting:
            pairs.append((waiting.pop(label), image, label))
        else:
            waiting[label] = image
        if len(pairs) == num:
            break
    if not pairs:
        raise UserError("data must have two test images, of one class if any. Received: none.")
    start, end, labels = zip(*pairs, strict=True)
    return np.stack(start), np.stack(end), None if labels[0] is None else np.stack(labels)


def nearest_images(images: np.ndarray, batches: tf.data.Dataset) -> np.ndarray:
    """For each image the one of a data set that is closest in its values.

    Args:
      images: Integers `[N, H, W, C]`.
      batches: Batches of images, or pairs of images and labels, of which the first 50,000 are
        searched.
    """
    wanted = images.reshape(len(images), -1).astype(np.float32)
    found, distances = np.zeros_like(images), np.full(len(images), np.inf)
    seen = 0
    for batch in batches.as_numpy_iterator():
        others = batch[0] if isinstance(batch, tuple) else batch
        flat = others.reshape(len(others), -1).astype(np.float32)
        squares = np.square(wanted).sum(1)[:, np.newaxis] + np.square(flat).sum(1)
        distance = squares - 2.0 * wanted @ flat.T
        index = distance.argmin(1)
        nearer = distance.min(1) < distances
        found[nearer] = others[index[nearer]]
        distances = np.minimum(distances, distance.min(1))
        seen += len(others)
        if seen >= SEARCHED_IMAGES:
            break
    return found


def first_images(batches: tf.data.Dataset, num: int):
    """The first images and their labels, None where the data have no labels."""
    batch = next(batches.unbatch().batch(num).as_numpy_iterator())
    return batch if isinstance(batch, tuple) else (batch, None)
