"""The settings of a training run."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import pathlib
import re

from tfp_glow.core.checks import check_choice, check_positive_int
from tfp_glow.dequantization import Dequantized
from tfp_glow.flows import RECIPES
from tfp_glow.model import FlowModel

__all__ = ["FLOWS", "Settings"]

# Settings that are arguments of a function of `flows`, where it takes them.
_FLOW_ARGUMENTS = (
    "levels",
    "steps",
    "hidden_channels",
    "hidden_units",
    "coupling",
    "conv",
    "factor_out",
    "alpha",
    "coefficient",
    "seed",
)
# Flows on data; the others build on a flow.
FLOWS = tuple(name for name in RECIPES if "flow" not in inspect.signature(RECIPES[name]).parameters)
# What suits the digits, where a flow's own defaults are for more than that.
_FOR_DIGITS = {
    "glow": {"steps": 32, "levels": 2, "hidden_channels": 32},
    # Its scales have far to go from 1, and decay would hold them there.
    "nice": {"hidden_units": [256, 256], "weight_decay": 0.0},
}
_WEIGHT_DECAY = 0.3


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that decides a training run; the defaults train Glow on scikit-learn's digits.

    Attributes:
      data: Source of the images; see `load_images`.
      data_dir, download, num_bits, flip, image_size, batch_size: As in `load_images`.
      flow: Name of a function of `flows`.
      levels, steps, hidden_channels, hidden_units, coupling, conv, factor_out, alpha, coefficient:
        Its arguments, where it takes them; None for what suits the digits.
      conditional: Whether the flow is conditioned on the images' labels.
      epochs: Passes over the training images.
      learning_rate: Of Adamax, at its highest.
      warmup_epochs: Epochs in which the learning rate rises from 0, at most half of them all;
        from there it falls to 0 along a cosine.
      weight_decay: Decoupled weight decay, which holds overfitting off in small data sets; None
        for what suits the digits.
      seed: Seed of the split of the data, the initial weights and the noise.
      jit_compile: Whether XLA compiles the training step; None leaves it to Keras.

    Raises:
      ValueError, TypeError: If a setting is out of its range, or the flow takes no such argument.
    """

    data: str = "digits"
    data_dir: str | None = None
    download: bool = False
    num_bits: int = 8
    flip: bool = False
    image_size: int | None = None
    flow: str = "glow"
    levels: int | None = None
    steps: int | None = None
    hidden_channels: int | None = None
    hidden_units: list[int] | None = None
    coupling: str | None = None
    conv: str | None = None
    factor_out: float | None = None
    alpha: float | None = None
    coefficient: float | None = None
    conditional: bool = False
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-2
    warmup_epochs: int = 2
    weight_decay: float | None = None
    seed: int = 0
    jit_compile: bool | None = None

    def __post_init__(self):
        check_choice(self.flow, FLOWS, "flow")
        self._fill(_FOR_DIGITS.get(self.flow, {}))
        self._fill({"weight_decay": _WEIGHT_DECAY})
        check_positive_int(self.epochs, "epochs")
        for argument in ("learning_rate", "warmup_epochs", "weight_decay", "seed"):
            if not getattr(self, argument) >= 0:
                raise ValueError(
                    f"{argument} must be at least 0. Received: {getattr(self, argument)}."
                )
        if self.conditional and "num_classes" not in self._accepted():
            raise ValueError(f"conditional means nothing to the flow {self.flow!r}.")
        for argument in _FLOW_ARGUMENTS:
            value = getattr(self, argument)
            if value is not None and argument not in self._accepted():
                raise ValueError(
                    f"{argument} means nothing to the flow {self.flow!r}. Received: {value!r}."
                )

    def _fill(self, values: dict) -> None:
        """Sets what is still open."""
        for name, value in values.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def data_options(self) -> dict:
        """The arguments of `load_images` beside the source."""
        names = ("batch_size", "num_bits", "flip", "image_size", "seed", "data_dir", "download")
        return {"labels": self.conditional, **{name: getattr(self, name) for name in names}}

    def build_model(self, image_shape: tuple, num_bins: int, num_classes: int | None) -> FlowModel:
        """The untrained model of such images; `num_classes` counts where it is conditional."""
        given = {name: getattr(self, name) for name in _FLOW_ARGUMENTS}
        arguments = {name: value for name, value in given.items() if value is not None}
        if self.conditional:
            arguments["num_classes"] = num_classes
        flow = RECIPES[self.flow](image_shape, **arguments)
        return FlowModel(Dequantized(flow, num_bins))

    def default_folder(self) -> pathlib.Path:
        """runs/FLOW-DATA."""
        name = self.data.removeprefix("tfds:")
        if name == self.data:
            name = pathlib.Path(name).resolve().stem
        return pathlib.Path("runs") / f"{self.flow}-{re.sub(r'[^A-Za-z0-9_.]+', '-', name)}"

    @classmethod
    def load(cls, path: str | os.PathLike) -> Settings:
        """Reads what a run wrote to its config.json.

        Raises:
          ValueError: If the file is none of a run's, or of one with other settings.
        """
        try:
            return cls(**json.loads(pathlib.Path(path).read_text())["settings"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{str(path)!r} does not hold the settings of a run: {error}."
            ) from error

    def _accepted(self):
        return inspect.signature(RECIPES[self.flow]).parameters
