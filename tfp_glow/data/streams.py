"""Data sets that are read one example after the other: tf.data and tensorflow-datasets."""

from __future__ import annotations

import re

import numpy as np
import tensorflow as tf

from tfp_glow.data.options import Options
from tfp_glow.data.parts import Part, Sliced, Source, Stream, find_splits
from tfp_glow.data.validation import (
    LARGEST_LABEL,
    check_images,
    check_integers,
    missing_labels,
    require,
)

__all__ = ["count_classes", "read_builder", "read_dataset", "read_tfds"]

REMOTE_NAME = re.compile(r"\w+:[A-Za-z]")  # a community's data set, looked up over the network


def count_classes(labels: tf.data.Dataset, what: str = "labels") -> int:
    """The number of classes in batches of labels from 0; `what` names them in errors.

    Raises:
      ValueError: If a label is negative.
    """

    def widen(span, batch):
        batch = tf.cast(batch, tf.int64)
        smallest, largest = tf.reduce_min(batch), tf.reduce_max(batch)
        return tf.minimum(span[0], smallest), tf.maximum(span[1], largest)

    start = tf.constant(LARGEST_LABEL, tf.int64), tf.constant(-1, tf.int64)
    smallest, largest = labels.reduce(start, widen)
    if smallest < 0:
        raise ValueError(f"{what} must not be negative. Received: {int(smallest)}.")
    return int(largest) + 1


def read_dataset(source: tf.data.Dataset, options: Options) -> Source:
    """Reads unbatched images, pairs, or dicts with the keys image and label."""
    if source.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("source must end; leave out repeat(). Received: an infinite dataset.")
    convert, image_shape = _converter(source, options.labels, "source")
    part = Stream(source.map(convert), image_shape)
    return Source({"train": part}, count_classes(_labels(part)) if options.labels else None)


def read_tfds(source: str, options: Options) -> Source:
    """Reads the data set of tensorflow-datasets that "tfds:NAME" names."""
    name = source.removeprefix("tfds:")
    if REMOTE_NAME.match(name) and not options.download:
        raise _not_there(source, options.data_dir)
    tfds = require("tensorflow_datasets")
    try:
        builder = tfds.builder(name, data_dir=options.data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise ValueError(
            f"source must name a data set of tensorflow-datasets. Received: {source!r}."
        ) from error
    return read_builder(builder, options)


def read_builder(source, options: Options) -> Source:
    """Reads the splits of a tensorflow-datasets builder."""
    if not source.info.splits:
        if not options.download:
            raise _not_there(source.info.full_name, source.data_dir)
        source.download_and_prepare()
    splits = find_splits(source.info.splits, source.info.full_name)
    parts = {part: _tfds_part(source, name, options.labels) for part, name in splits.items()}
    if not options.labels:
        return Source(parts)
    known = getattr(source.info.features["label"], "num_classes", None)
    return Source(parts, known or max(count_classes(_labels(part)) for part in parts.values()))


def _tfds_part(builder, name: str, labels: bool) -> Part:
    tfds = require("tensorflow_datasets")
    # The cache would hold the whole split in memory.
    uncached = tfds.ReadConfig(try_autocache=False)
    whole = builder.as_dataset(split=name, read_config=uncached)
    convert, image_shape = _converter(whole, labels, f"split {name!r} of {builder.info.full_name}")
    # A range of unshuffled files may hold one class alone; an ImageFolder reads no ranges.
    if builder.info.disable_shuffling or isinstance(builder, tfds.folder_dataset.ImageFolder):
        return Stream(whole.map(convert), image_shape)

    def open_range(start: int, stop: int) -> tf.data.Dataset:
        split = f"{name}[{start}:{stop}]"
        return builder.as_dataset(split=split, read_config=uncached).map(convert)

    return Sliced(open_range, 0, builder.info.splits[name].num_examples, image_shape)


def _converter(dataset: tf.data.Dataset, labels: bool, what: str):
    """A function from an element to an example of a `Part`, and the shape of the images."""
    _check_spec(dataset.element_spec, labels, what)
    rank, image_shape = _first_shape(dataset, what)

    def convert(*element):
        image, label = _fields(element if len(element) > 1 else element[0])
        image = _to_uint8(tf.ensure_shape(image, [None] * rank), what)
        image = image[..., tf.newaxis] if rank == 2 else image
        return (image, _to_int32(label, what)) if labels else (image,)

    return convert, image_shape


def _fields(element) -> tuple:
    """The image and the label, or None, of an element or of its specification."""
    if isinstance(element, dict):
        return element.get("image"), element.get("label")
    if isinstance(element, tuple) and len(element) == 2:
        return element
    return element, None


def _check_spec(spec, labels: bool, what: str) -> None:
    image, label = _fields(spec)
    if not isinstance(image, tf.TensorSpec):
        raise TypeError(
            f"{what} must hold images, pairs or dicts with the key 'image'. Received: {spec}."
        )
    check_integers(image.dtype.as_numpy_dtype, f"images of {what}")
    if not labels:
        return
    if label is None:
        raise missing_labels(f"{what} with elements {spec}")
    if label.shape.rank not in (0, None):
        raise ValueError(f"labels of {what} must be scalars. Received: shape {label.shape}.")
    check_integers(label.dtype.as_numpy_dtype, f"labels of {what}")


def _first_shape(dataset: tf.data.Dataset, what: str) -> tuple[int, tuple[int, int, int]]:
    first = next(iter(dataset.take(1)), None)
    if first is None:
        raise ValueError(f"{what} must not be empty. Received: a dataset without examples.")
    image = _fields(first)[0].numpy()
    if image.ndim not in (2, 3):
        raise ValueError(
            f"{what} must hold images [H, W] or [H, W, C]; unbatch() splits batches. "
            f"Received: shape {image.shape}."
        )
    return image.ndim, check_images(image[np.newaxis], f"the first image of {what}").shape[1:]


def _to_uint8(image: tf.Tensor, what: str) -> tf.Tensor:
    if image.dtype != tf.uint8:
        wide, message = tf.cast(image, tf.int64), f"{what} must hold integers from 0 to 255."
        tf.debugging.assert_non_negative(wide, message=message)
        tf.debugging.assert_less(wide, tf.constant(256, tf.int64), message=message)
    return tf.cast(image, tf.uint8)


def _to_int32(label: tf.Tensor, what: str) -> tf.Tensor:
    label = tf.ensure_shape(label, [])
    largest = tf.constant(min(LARGEST_LABEL, label.dtype.max), label.dtype)
    message = f"labels of {what} must be at most {LARGEST_LABEL}."
    tf.debugging.assert_less_equal(label, largest, message=message)
    return tf.cast(label, tf.int32)


def _labels(part: Part) -> tf.data.Dataset:
    return part.batches(1024, lambda _, label: label)


def _not_there(name: str, data_dir) -> ValueError:
    return ValueError(
        "source is not prepared here; download=True lets tensorflow-datasets fetch it. "
        f"Received: {name!r} with data_dir={data_dir!r}."
    )
