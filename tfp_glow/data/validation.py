"""Checks that several kinds of source share; each names what was received."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np

__all__ = [
    "LARGEST_LABEL",
    "check_images",
    "check_integers",
    "check_labels",
    "missing_labels",
    "require",
]

LARGEST_LABEL = np.iinfo(np.int32).max


def check_integers(dtype, what: str) -> None:
    """Raises unless a numpy dtype is one of integers."""
    if not np.issubdtype(dtype, np.integer):
        raise TypeError(
            f"{what} must hold integers; convert images in [0, 1] with "
            f"np.round(255 * images).astype('uint8'). Received: dtype {dtype}."
        )


def check_images(images, what: str) -> np.ndarray:
    """Returns images as uint8 `[N, H, W, C]`."""
    images = np.asarray(images)
    if images.ndim not in (3, 4):
        raise ValueError(
            f"{what} must have shape [N, H, W] or [N, H, W, C]. Received: shape {images.shape}."
        )
    _check_values(images, what)
    if images.max() > 255:
        raise ValueError(
            f"{what} must hold integers from 0 to 255. Received: a value {images.max()}."
        )
    images = images.astype(np.uint8)
    return images if images.ndim == 4 else images[..., np.newaxis]


def check_labels(labels, count: int, what: str) -> np.ndarray:
    """Returns labels of `count` images as int32 `[count]`."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # the form of Keras's CIFAR-10
    if labels.shape != (count,):
        raise ValueError(
            f"{what} must have one label for each of {count} images. "
            f"Received: shape {labels.shape}."
        )
    _check_values(labels, what)
    if labels.max() > LARGEST_LABEL:
        raise ValueError(
            f"{what} must be at most {LARGEST_LABEL}. Received: a label {labels.max()}."
        )
    return labels.astype(np.int32)


def missing_labels(what: str) -> ValueError:
    """The error of a source without the labels that were asked for."""
    return ValueError(f"source must have labels, since labels=True. Received: {what}.")


def require(module: str) -> ModuleType:
    """Imports a module of the extra that only some sources need."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'source needs {module.partition(".")[0]}: pip install "tfp-glow[train]".'
        ) from error


def _check_values(values: np.ndarray, what: str) -> None:
    if not values.size:
        raise ValueError(f"{what} must not be empty. Received: shape {values.shape}.")
    if np.issubdtype(values.dtype, np.inexact) and np.isnan(values).any():
        raise ValueError(f"{what} must not contain NaN. Received: {np.isnan(values).sum()} NaNs.")
    check_integers(values.dtype, what)
    if values.min() < 0:
        raise ValueError(f"{what} must not be negative. Received: a value {values.min()}.")
