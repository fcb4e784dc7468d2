"""Images held in memory: arrays, Keras-style `.npz` files and scikit-learn's digits."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_glow.data.options import Options
from tfp_glow.data.parts import Indexed, Source, find_splits
from tfp_glow.data.validation import check_images, check_labels, missing_labels, require

__all__ = ["load_archive", "read_arrays", "read_digits", "read_npz"]


def read_arrays(source, options: Options) -> Source:
    """Reads an array of images or a pair of images and labels."""
    images, labels = source if isinstance(source, tuple) else (source, None)
    return _join({"train": (images, labels)}, options.labels, "source")


def read_npz(source, options: Options) -> Source:
    """Reads x_train, y_train, x_test and so on; only x_train must be there."""
    kinds = "xy" if options.labels else "x"
    path = Path(os.path.expanduser(source))
    arrays = load_archive(path, lambda key: key[:1] in kinds and key[1:2] == "_")
    splits = find_splits((key[2:] for key in arrays if key.startswith("x_")), f"{source}")
    pairs = {part: (arrays[f"x_{name}"], arrays.get(f"y_{name}")) for part, name in splits.items()}
    return _join(pairs, options.labels, f"{source}")


def read_digits(source: str, options: Options) -> Source:
    """Reads the 1797 digits of 8 x 8 values from 0 to 16 that come with scikit-learn."""
    digits = require("sklearn.datasets").load_digits()
    pair = digits.images.astype(np.uint8), digits.target
    return replace(_join({"train": pair}, options.labels, source), num_bins=17)


def load_archive(path: Path, wanted: Callable = lambda key: True) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file whose names are wanted."""
    if not path.is_file():
        raise ValueError(f"source must be an existing file. Received: '{path}'.")
    try:
        with zipfile.ZipFile(path):  # np.load takes other files for pickles, or for one array
            archive = np.load(path, allow_pickle=False)
        with archive:
            return {key: archive[key] for key in archive.files if wanted(key)}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        raise ValueError(
            f"source must be a readable .npz file of numbers. Received: '{path}' ({error})."
        ) from error


def _join(pairs: dict[str, tuple], labels: bool, what: str) -> Source:
    checked = {part: _check_pair(*pair, labels, f"{what} ({part})") for part, pair in pairs.items()}
    parts = {part: _indexed(arrays) for part, arrays in checked.items()}
    if not labels:
        return Source(parts)
    return Source(parts, num_classes=1 + max(int(y.max()) for _, y in checked.values()))


def _check_pair(images, labels, wanted: bool, what: str) -> tuple[np.ndarray, ...]:
    if wanted and labels is None:
        raise missing_labels(f"{what} with images alone")
    images = check_images(images, f"images of {what}")
    if labels is None:
        return (images,)
    labels = check_labels(labels, len(images), f"labels of {what}")
    return (images, labels) if wanted else (images,)


def _indexed(arrays: tuple[np.ndarray, ...]) -> Indexed:
    tensors = [tf.constant(array) for array in arrays]
    return Indexed(
        indices=np.arange(len(arrays[0])),
        load=lambda index: tuple(tf.gather(tensor, index) for tensor in tensors),
        image_shape=arrays[0].shape[1:],
        vectorized=True,
    )
