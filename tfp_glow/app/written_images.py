"""Images that a command writes, as a picture or as numbers."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np

from tfp_glow.app import plots
from tfp_glow.app.errors import blames_input
from tfp_glow.files import replacing

__all__ = ["write_images"]


def write_images(output: pathlib.Path, draw: Callable, **arrays) -> None:
    """Writes arrays to a .npz file, or else the picture that `draw` makes."""
    if output.suffix == ".npz":
        with replacing(output) as temporary:
            np.savez_compressed(temporary, **arrays)
    else:
        with blames_input():
            plots.save_figure(draw(), output)
