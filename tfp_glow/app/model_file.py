"""Reading a `.keras` file that may be anything."""

from __future__ import annotations

import os

import keras

from tfp_glow.app.errors import UserError, blames_input
from tfp_glow.dequantization import Dequantized
from tfp_glow.model import FlowModel

__all__ = ["read_model"]


def read_model(path: str | os.PathLike) -> FlowModel:
    """The model of images in a file, compiled as it was when it was saved.

    Raises:
      UserError: If the file holds none.
    """
    with blames_input():
        model = keras.saving.load_model(path)
    if not isinstance(getattr(model, "distribution", None), Dequantized):
        raise UserError(f"run must hold a model of images. Received: {str(path)!r}.")
    return model
