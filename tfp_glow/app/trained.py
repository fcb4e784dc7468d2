"""Trained models, and data and classes that fit them."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import keras
import numpy as np

from tfp_glow.app.errors import UserError
from tfp_glow.app.model_file import read_model
from tfp_glow.app.run import CONFIG, MODEL, model_of
from tfp_glow.app.settings import Settings
from tfp_glow.app.tasks import TASKS, task_of
from tfp_glow.dequantization import Dequantized

__all__ = ["classes_for", "load_model", "load_model_and_data"]


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
    path = pathlib.Path(path)
    file = model_of(path) if path.is_dir() else path
    if not file.is_file() or file.suffix != ".keras":
        raise UserError(
            f"run must be a folder with a {MODEL}, or a .keras file. Received: {str(path)!r}."
        )
    config = file.parent / CONFIG
    return read_model(file, task), Settings.load(config) if config.is_file() else None


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
    name = task_of(model)
    found = TASKS[name]
    settings = settings or found.settings_for(model, name)
    changes = {"data": data, "data_dir": data_dir, "download": download or None}
    given = {name: value for name, value in changes.items() if value is not None}
    settings = dataclasses.replace(settings, **given)
    data = found.load(settings)
    found.check_fits(model, data, settings.data)
    if data.test is None:
        raise UserError(
            f"data must have test {found.subject}. Received: {settings.data!r}, which has none."
        )
    return model, data


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
