"""Trained models, and data and classes that fit them."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np

from tfp_glow.app.errors import UserError, blames_input
from tfp_glow.app.model_file import read_model
from tfp_glow.app.run import CONFIG, MODEL, model_of
from tfp_glow.app.settings import Settings
from tfp_glow.data import ImageData, load_images
from tfp_glow.dequantization import Dequantized
from tfp_glow.model import FlowModel

__all__ = ["classes_for", "load_model", "load_model_and_data"]


def load_model(path: str | os.PathLike) -> tuple[FlowModel, Settings | None]:
    """The model of a run and the run's settings.

    Args:
      path: Folder of a run, or a `.keras` file, whose settings are None where no config.json
        lies beside it.

    Raises:
      UserError: If there is no such model.
    """
    path = pathlib.Path(path)
    file = model_of(path) if path.is_dir() else path
    if not file.is_file() or file.suffix != ".keras":
        raise UserError(
            f"run must be a folder with a {MODEL}, or a .keras file. Received: {str(path)!r}."
        )
    config = file.parent / CONFIG
    return read_model(file), Settings.load(config) if config.is_file() else None


def load_model_and_data(
    path: str | os.PathLike, data: str | None, *, data_dir: str | None, download: bool
) -> tuple[FlowModel, ImageData]:
    """A trained model and the data it is to be shown.

    Args:
      path: As in `load_model`.
      data: Source of the images; that of the run when None.
      data_dir: As in `load_images`; that of the run when None.
      download: As in `load_images`.

    Raises:
      UserError: If there is no such model, or the data are not of its kind.
    """
    model, settings = load_model(path)
    if data is None and settings is None:
        raise UserError(f"data must be given with a model that is in no run. Received: {path}.")
    settings = settings or _settings_like(model.distribution)
    changes = {"data": data, "data_dir": data_dir, "download": download or None}
    given = {name: value for name, value in changes.items() if value is not None}
    settings = dataclasses.replace(settings, **given)
    with blames_input():
        found = load_images(settings.data, **settings.data_options())
    _check_data(model.distribution, found, settings.data)
    return model, found


def _settings_like(distribution: Dequantized) -> Settings:
    """Settings that make data fit a model without a run."""
    bits = distribution.num_bins.bit_length() - 1
    return Settings(
        num_bits=bits if distribution.num_bins == 2**bits else 8,
        conditional=distribution.condition_shape is not None,
    )


def _check_data(distribution: Dequantized, data: ImageData, source: str) -> None:
    expected = _describe(distribution.event_shape, distribution.num_bins, _classes(distribution))
    classes = None if distribution.condition_shape is None else data.num_classes
    received = _describe(data.image_shape, data.num_bins, classes)
    if expected != received:
        raise UserError(f"data must have {expected}. Received: {source!r} with {received}.")
    if data.test is None:
        raise UserError(f"data must have test images. Received: {source!r}, which has none.")


def _describe(image_shape, num_bins: int, classes: int | None) -> str:
    labels = f" and {classes} classes" if classes else ""
    return f"images of shape {tuple(image_shape)}, pixels of {num_bins} values{labels}"


def _classes(distribution: Dequantized) -> int | None:
    """The number of classes that a flow is conditioned on."""
    if distribution.condition_shape is None:
        return None
    return distribution.flow.recipe["arguments"]["num_classes"]


def classes_for(distribution: Dequantized, num: int, class_id: int | None) -> np.ndarray | None:
    """The classes of `num` samples: all of one, or each in turn; None where the flow has none.

    Raises:
      UserError: If the flow has no such class.
    """
    classes = _classes(distribution)
    if class_id is not None and not 0 <= class_id < (classes or 0):
        known = f"be from 0 to {classes - 1}" if classes else "be omitted: the flow has no classes"
        raise UserError(f"class must {known}. Received: {class_id}.")
    if classes is None:
        return None
    return np.arange(num) % classes if class_id is None else np.full(num, class_id)
