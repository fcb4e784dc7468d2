"""One door to every kind of image data set."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_glow.data.arrays import read_arrays, read_digits, read_npz
from tfp_glow.data.delivery import made_ahead
from tfp_glow.data.epochs import Epochs
from tfp_glow.data.folder import read_folder
from tfp_glow.data.options import Options
from tfp_glow.data.parts import Part, Source
from tfp_glow.data.record_files import is_records
from tfp_glow.data.records import read_records
from tfp_glow.data.streams import read_builder, read_dataset, read_tfds

__all__ = ["ImageData", "load_images"]


@dataclass(frozen=True)
class ImageData:
    """Batches of images, ready for training.

    Attributes:
      train: uint8 images `[batch, H, W, C]`, or pairs of them and int32 labels `[batch]`;
        shuffled anew each epoch.
      validation: The same, in a fixed order; None if there are none.
      test: The same, in a fixed order; None if there are none.
      image_shape: `(H, W, C)`.
      num_bins: Number of values that a pixel can take, from 0 to `num_bins - 1`.
      num_classes: Number of classes, None without labels.
      epochs: `epochs(start, stop)` gives the batches of the epochs from `start` to before `stop`,
        one epoch after the other; the order and the flips of an epoch depend on the seed and the
        epoch's number alone, so that training can go on where it was.
      worker_epochs: `worker_epochs(context, start, stop)` gives those of a worker that reads a
        stretch of the images alone, as a function for
        `tf.distribute.Strategy.distribute_datasets_from_function` would; None where all workers are
        to read everything, and to take a part of each batch.
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    image_shape: tuple[int, int, int]
    num_bins: int
    num_classes: int | None
    epochs: Callable[[int, int], tf.data.Dataset]
    worker_epochs: Callable[[tf.distribute.InputContext, int, int], tf.data.Dataset] | None = None


def load_images(
    source,
    *,
    batch_size: int = 64,
    labels: bool = False,
    num_bits: int = 8,
    flip: bool = False,
    image_size: int | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    download: bool = False,
) -> ImageData:
    """Loads integer images as batches for training, validation and test.

    Splits that the source has are kept; a missing validation or test split is taken from its
    training images. Folders, records and streams are read as they are used, never as a whole.

    Args:
      source: One of
        - an array of integers `[N, H, W, C]` or `[N, H, W]`, or a pair of it and labels `[N]`;
        - a `tf.data.Dataset` of single images, pairs, or dicts with the keys image and label,
          which gives the same examples in the same order each time;
        - the path of a Keras-style `.npz` file with x_train and, maybe, y_train, x_test, y_test
          and x_val, y_val;
        - the path of a folder of images, flat or with one subfolder a class, or with subfolders
          train, validation or val, and test of that form;
        - the path of a folder of TFRecord files, whose names have `.tfrecord` in them, in the
          folder or one level below, or a pattern of such paths, as "faces/*.tfrecord"; their names
          or their folders' tell train, validation or val, and test, as in
          "faces-test.tfrecord-00000-of-00008". Records are `tf.train.Example`s with the feature
          `image`, the bytes of a PNG, JPEG, GIF or BMP file, or of the values with `height`,
          `width` and, but for grey ones, `depth` beside it; and `label`, an integer;
        - a builder of tensorflow-datasets, or "tfds:NAME";
        - "digits", scikit-learn's 8 x 8 digits with values from 0 to 16.
      batch_size: Images a batch; the last batch may have fewer.
      labels: Whether to give labels too. Those of records and of a `tf.data.Dataset` are read once
        to count the classes.
      num_bits: Bits to keep of the 8 of a pixel: x becomes floor(x / 2**(8 - num_bits)). No
        effect on the digits.
      flip: Whether to flip half of the training images, drawn at random, left to right.
      image_size: Side of the square images to make from the largest central square; None
        keeps the images, which must then agree in size.
      validation_fraction: Part of the training images for validation, if there is no such split.
      test_fraction: Part of the training images for test, if there is no such split.
      seed: Seed of the splits, the order of training and the flips. Ranges of a shuffled
        tensorflow-datasets split do not depend on it.
      data_dir: Folder of tensorflow-datasets.
      download: Whether tensorflow-datasets may download the data set.

    Raises:
      ValueError, TypeError: If an argument or the data are not as above.
      ImportError: If the source needs a package that is not installed.
      tf.errors.InvalidArgumentError: While the data are read, if an image is unreadable, has
        another shape than the first, or a value below 0 or above 255.

    Example:

        data = load_images("digits", batch_size=128)
        images = next(iter(data.train))
    """
    arguments = dict(locals())
    del arguments["source"]
    options = Options(**arguments)
    found = _reader(source)(source, options)
    parts = _complete(found.parts, options)
    image_shape = _common_shape(parts, options.image_size)
    divisor = 2 ** (8 - options.num_bits) if found.num_bins == 256 else 1
    fit = _fitter(options, image_shape, divisor)
    training = Epochs(parts["train"], options, fit)
    batches = {
        name: made_ahead(part.batches(options.batch_size, fit))
        for name, part in parts.items()
        if name != "train"
    }
    can_be_shared = parts["train"].stretch(0, 1) is not None
    return ImageData(
        train=training.any(),
        validation=batches.get("validation"),
        test=batches.get("test"),
        image_shape=image_shape,
        num_bins=found.num_bins // divisor,
        num_classes=found.num_classes,
        epochs=training.range,
        worker_epochs=training.of_worker if can_be_shared else None,
    )


def _is_path(source) -> bool:
    return isinstance(source, (str, os.PathLike))


READERS: tuple[tuple[Callable, Callable], ...] = (
    (lambda s: isinstance(s, np.ndarray), read_arrays),
    (lambda s: isinstance(s, tuple) and len(s) == 2 and isinstance(s[0], np.ndarray), read_arrays),
    (lambda s: isinstance(s, tf.data.Dataset), read_dataset),
    (lambda s: isinstance(s, str) and s == "digits", read_digits),
    (lambda s: isinstance(s, str) and s.startswith("tfds:"), read_tfds),
    (lambda s: _is_path(s) and Path(s).suffix.lower() == ".npz", read_npz),
    (is_records, read_records),
    (lambda s: _is_path(s) and os.path.isdir(os.path.expanduser(s)), read_folder),
    (lambda s: hasattr(s, "as_dataset") and hasattr(s, "info"), read_builder),
)


def _reader(source) -> Callable[..., Source]:
    for matches, reader in READERS:
        if matches(source):
            return reader
    known = "'digits', 'tfds:NAME', a .npz file, .tfrecord files or a folder"
    if _is_path(source):
        raise ValueError(f"source must be {known} that exists. Received: {str(source)!r}.")
    raise TypeError(
        f"source must be {known}, an array, a pair of arrays, a tf.data.Dataset or a "
        f"tensorflow-datasets builder. Received: {type(source).__name__}."
    )


def _complete(parts: dict[str, Part], options: Options) -> dict[str, Part]:
    """The parts of a source and those to take from its training images."""
    fractions = {"validation": options.validation_fraction, "test": options.test_fraction}
    missing = {name: f for name, f in fractions.items() if f > 0 and name not in parts}
    return parts | parts["train"].split(missing, options.seed) if missing else parts


def _common_shape(parts: dict[str, Part], image_size: int | None) -> tuple[int, int, int]:
    size = () if image_size is None else (image_size, image_size)
    shapes = {name: (*size, *part.image_shape[len(size) :]) for name, part in parts.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"source must have images of one shape. Received: {shapes}.")
    return shapes["train"]


def _fitter(options: Options, image_shape: tuple, divisor: int) -> Callable:
    """A function that brings images, one or many, to the wanted size and bits."""

    def fit(images, *labels):
        if options.image_size is not None:
            images = _resize(images, options.image_size)
        message = f"source must have images of shape {image_shape}; image_size resizes them."
        tf.debugging.assert_equal(tf.shape(images)[-3:], image_shape, message=message)
        images.set_shape(images.shape[:-3] + image_shape)
        images = images // divisor
        return (images, *labels) if labels else images

    return fit


def _resize(images: tf.Tensor, size: int) -> tf.Tensor:
    """The largest central square of one or many images, resized to `[..., size, size, C]`."""
    extent = tf.shape(images)[-3:-1]
    side = tf.reduce_min(extent)
    top, left = tf.unstack((extent - side) // 2)
    square = images[..., top : top + side, left : left + side, :]
    return tf.cast(tf.round(tf.image.resize(square, (size, size), method="area")), tf.uint8)
