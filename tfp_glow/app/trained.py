"""Trained models, and data that fit them."""

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
from tfp_glow.app.task import Task
from tfp_glow.app.tasks import task_of
from tfp_glow.data import load_images

__all__ = ["Trained", "load_trained"]


def load_trained(path: str | os.PathLike, *tasks: str) -> Trained:
    """The model of a run.

    Args:
      path: Folder of a run, or a `.keras` file.
      *tasks: Names of the tasks of which the model must be of one; of any when omitted.

    Raises:
      UserError: If there is no such model.

    Example:

        trained = load_trained("runs/digits", "density")
        images = trained.data("digits").test
    """
    file = pathlib.Path(path)
    file = model_of(file) if file.is_dir() else file
    if not file.is_file() or file.suffix != ".keras":
        raise UserError(
            f"run must be a folder with a {MODEL}, or a .keras file. Received: {str(path)!r}."
        )
    model, config = read_model(file, *tasks), file.parent / CONFIG
    return Trained(file, model, Settings.load(config) if config.is_file() else None)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model and what it was trained with.

    Args:
      file: The `.keras` file that it was read from.
      model: The model.
      settings: Those of its run; None where the file is in no run.
    """

    file: pathlib.Path
    model: keras.Model
    settings: Settings | None

    @property
    def task(self) -> Task:
        """What the model was trained for."""
        return task_of(self.model)

    def data(
        self, source: str | None, *, data_dir: str | None = None, download: bool = False
    ) -> Any:
        """The data that the model is to be shown.

        Args:
          source: Source of the data; that of the run when None.
          data_dir: As in `load_images`; that of the run when None.
          download: As in `load_images`.

        Raises:
          UserError: If the data are not of the model's kind.
        """
        if source is None and self.settings is None:
            raise UserError(
                f"data must be given with a model that is in no run. Received: {self.file}."
            )
        settings = self._settings_with(source, data_dir, download)
        data = self.task.load(settings)
        self.task.check_fits(self.model, data, settings.data)
        if data.test is None:
            raise UserError(
                f"data must have test {self.task.subject}. Received: {settings.data!r}, "
                "which has none."
            )
        return data

    def group(
        self, source: str, *, data_dir: str | None = None, download: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """All training images of a source, as the model takes them, and their labels or None.

        Args:
          source: Source of the images, as in `load_images`.
          data_dir: As in `load_images`; that of the run when None.
          download: As in `load_images`.

        Raises:
          UserError: If the images are not of the model's kind.
        """
        expected = self.task.image_kind(self.model)
        options = self._settings_with(source, data_dir, download).data_options()
        options |= {"validation_fraction": 0.0, "test_fraction": 0.0, "flip": False}
        with blames_input():
            found = load_images(source, **options)
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

    def _settings_with(self, data: str | None, data_dir: str | None, download: bool) -> Settings:
        """The settings of the run, or those that make data fit the model, with what was given."""
        settings = self.settings or self.task.settings_for(self.model)
        changes = {"data": data, "data_dir": data_dir, "download": download or None}
        given = {name: value for name, value in changes.items() if value is not None}
        return dataclasses.replace(settings, **given)
