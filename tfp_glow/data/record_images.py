"""The image and the label in a record, a serialized `tf.train.Example`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfp_glow.data.image_bytes import decode, like_the_first
from tfp_glow.data.validation import LARGEST_LABEL, missing_labels

__all__ = ["read_example"]

# What files begin with that can be as long as their values; a BMP is longer.
_ENCODED = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")


def read_example(
    record: tf.Tensor, path: tf.Tensor, place, *, labels: bool, expected: tuple | None = None
) -> tuple[tf.Tensor, ...]:
    """The image, uint8 `[H, W, C]`, and the label, an int32, if wanted.

    The feature `image` holds the bytes of a file; or of the values themselves, where the features
    `height`, `width` and, unless it is 1, `depth` tell the shape. `label` is an integer.

    Args:
      record: The record, an eager string.
      path: Its file, likewise.
      place: Its place there, from 0.
      labels: Whether the label is wanted.
      expected: Shape of the image; any when None.

    Raises:
      ValueError: If the record is no such example; the message names it.
    """
    where = f"record {int(place) + 1} of '{os.fsdecode(path.numpy())}'"
    try:
        features = tf.train.Example.FromString(record.numpy()).features.feature
    except DecodeError:
        raise ValueError(f"source must hold tf.train.Examples. Received: {where}.") from None
    image = _image(features, where)
    if expected is not None:
        image = like_the_first(image, expected, where)
    return (image, _label(features, where)) if labels else (image,)


def _image(features: Mapping, where: str) -> tf.Tensor:
    contents = features["image"].bytes_list.value if "image" in features else ()
    if len(contents) != 1:
        raise ValueError(
            "source must have records with the bytes of an image as the feature 'image'. "
            f"Received: {where}, with {len(contents)} there and the features {sorted(features)}."
        )
    (content,) = contents
    sides = [_integer(features, name) for name in ("height", "width", "depth")]
    shape = (*sides[:2], 1 if sides[2] is None else sides[2])
    if None in shape or len(content) != math.prod(shape) or content.startswith(_ENCODED):
        return decode(content, where)
    return tf.constant(np.frombuffer(content, np.uint8).reshape(shape))


def _label(features: Mapping, where: str) -> tf.Tensor:
    label = _integer(features, "label")
    if label is None:
        raise missing_labels(f"{where}, with the features {sorted(features)}")
    if not 0 <= label <= LARGEST_LABEL:
        raise ValueError(
            f"labels of source must be from 0 to {LARGEST_LABEL}. Received: {label} in {where}."
        )
    return tf.constant(label, tf.int32)


def _integer(features: Mapping, name: str) -> int | None:
    """The integer that a feature holds, None unless it is one."""
    values = features[name].int64_list.value if name in features else ()
    return values[0] if len(values) == 1 else None
