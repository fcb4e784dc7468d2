"""Trained models, and data and classes that fit them."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import keras
import numpy as np

from tfp_glow.app.errors import UserError, blames_input
from tfp_glow.app.image_task import ImageKind
from tfp_glow.app.model_file import read_model
from tfp_glow.app.run import CONFIG, MODEL, model_of
from tfp_glow.app.settings import Settings
from tfp_glow.app.tasks import TASKS, task_of
from tfp_glow.data import load_images
from tfp_glow.dequantization import Dequantized

__all__ = ["classes_for", "load_group", "load_model", "load_model_and_data"]


def load_model(
    path: str | os.PathLike, task: str | None = None
) -> tuple[keras.Model, Settings | None]:
    """The model of a run and the run's settings.

    Args:
      path: Folder of a run, or a `.keras` file, whose settings are None where no config.json
        lies beside it.
      task: Name of the task that the model must be of; any when omitted.

    Raises:
      UserError: If there is no such model.
    """
    file = _model_file(path)
    if not file.is_file() or file.suffix != ".keras":
        raise UserError(
            f"run must be a folder with a {MODEL}, or a .keras file. Received: {str(path)!r}."
        )
    return read_model(file, task), _saved_settings(path)


def load_model_and_data(
    path: str | os.PathLike,
    data: str | None,
    *,
    data_dir: str | None,
    download: bool,
    task: str | None = None,
) -> tuple[keras.Model, Any]:
    """A trained model and the data it is to be shown.

    Args:
      path: As in `load_model`.
      data: Source of the data; that of the run when None.
      data_dir: As in `load_images`; that of the run when None.
      download: As in `load_images`.
      task: As in `load_model`.

    Raises:
      UserError: If there is no such model, or the data are not of its kind.
    """
    model, settings = load_model(path, task)
    if data is None and settings is None:
        raise UserError(f"data must be given with a model that is in no run. Received: {path}.")
    settings = _completed(settings, model, data=data, data_dir=data_dir, download=download)
    task = TASKS[task_of(model)]
    data = task.load(settings)
    task.check_fits(model, data, settings.data)
    if data.test is None:
        raise UserError(
            f"data must have test {task.subject}. Received: {settings.data!r}, which has none."
        )
    return model, data


def load_group(
    path: str | os.PathLike,
    model: keras.Model,
    source: str,
    *,
    data_dir: str | None,
    download: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """All training images of a source, as a model takes them, and their labels or None.

    Args:
      path: As in `load_model`.
      model: The model that was loaded from there.
      source: Source of the images, as in `load_images`.
      data_dir: As in `load_images`; that of the run when None.
      download: As in `load_images`.

    Raises:
      UserError: If the images are not of the model's kind.
    """
    expected = TASKS[task_of(model)].image_kind(model)
    settings = _completed(
        _saved_settings(path), model, data=source, data_dir=data_dir, download=download
    )
    options = settings.data_options() | {"validation_fraction": 0.0, "test_fraction": 0.0}
    with blames_input():
        found = load_images(source, **options | {"flip": False})
    # A group need not have examples of every class.
    has_classes = (found.num_classes or 0) <= (expected.num_classes or 0)
    received = ImageKind(tuple(found.image_shape), found.num_bins, found.num_classes)
    if expected[:2] != received[:2] or not has_classes:
        raise UserError(f"data must have {expected}. Received: {source!r} with {received}.")
    batches = list(found.epochs(0, 1).as_numpy_iterator())
    if isinstance(batches[0], tuple):
        images, labels = zip(*batches, strict=True)
        return np.concatenate(images), np.concatenate(labels)
    return np.concatenate(batches), None


def classes_for(distribution: Dequantized, num: int, class_id: int | None) -> np.ndarray | None:
    """The classes of `num` samples: all of one, or each in turn; None where the flow has none.

    Raises:
      UserError: If the flow has no such class.
    """
    classes = distribution.num_classes
    if class_id is not None and not 0 <= class_id < (classes or 0):
        known = f"be from 0 to {classes - 1}" if classes else "be omitted: the flow has no classes"
        raise UserError(f"class must {known}. Received: {class_id}.")
    if classes is None:
        return None
    return np.arange(num) % classes if class_id is None else np.full(num, class_id)


def _model_file(path: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(path)
    return model_of(path) if path.is_dir() else path


def _saved_settings(path: str | os.PathLike) -> Settings | None:
    """The settings of a run, None where the model is in no run."""
    config = _model_file(path).parent / CONFIG
    return Settings.load(config) if config.is_file() else None


def _completed(
    settings: Settings | None,
    model: keras.Model,
    *,
    data: str | None,
    data_dir: str | None,
    download: bool,
) -> Settings:
    """The settings of a run, or those that make data fit the model, with what was given."""
    task = task_of(model)
    settings = settings or TASKS[task].settings_for(model, task)
    changes = {"data": data, "data_dir": data_dir, "download": download or None}
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(settings, **given)
