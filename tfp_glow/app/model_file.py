"""Reading a `.keras` file that may be anything."""

from __future__ import annotations

import os
import zipfile

import keras

from tfp_glow.app.errors import UserError, blames_input
from tfp_glow.app.tasks import TASKS, task_of

__all__ = ["read_keras", "read_model"]

PARTS = {"config.json", "metadata.json", "model.weights.h5"}


def read_model(path: str | os.PathLike, *tasks: str) -> keras.Model:
    """The model in a file, compiled as it was when it was saved.

    Args:
      path: A `.keras` file.
      *tasks: Names of the tasks of which it must be of one; of any when omitted.

    Raises:
      UserError: If the file holds none.
    """
    model = read_keras(path)
    found = task_of(model)
    if found is None:
        raise UserError(f"run must hold a model of images or of a table. Received: {str(path)!r}.")
    if tasks and found.name not in tasks:
        wanted = " or ".join(TASKS[task].product for task in tasks)
        raise UserError(
            f"run must hold {wanted}. Received: {str(path)!r}, which holds {found.product}."
        )
    return model


def read_keras(path: str | os.PathLike) -> keras.Model:
    """The model in a file, whatever it is of, compiled as it was when it was saved.

    Raises:
      UserError: If the file holds none.
    """
    _check_whole(path)
    with blames_input():
        return keras.saving.load_model(path)


def _check_whole(path: str | os.PathLike) -> None:
    """Raises where a file is cut or a bit of it has changed, of which Keras speaks in riddles."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            missing = PARTS - set(archive.namelist())
    except Exception as error:  # A changed bit can bring about almost any.
        raise UserError(f"'{path}' is damaged, or no model of Keras: {error}.") from error
    if damaged or missing:
        what = f"{damaged} is not as it was saved" if damaged else f"it has no {min(missing)}"
        raise UserError(f"'{path}' is damaged, or no model of Keras: {what}.")
