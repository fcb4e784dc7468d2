"""The settings of a training run."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import pathlib
import re

from tfp_glow.app.errors import UserError
from tfp_glow.core.checks import check_choice, check_positive_int
from tfp_glow.dequantization import Dequantized
from tfp_glow.flows import RECIPES
from tfp_glow.model import FlowModel

__all__ = ["FLOWS", "Settings"]

# Flows on data; the others build on a flow.
FLOWS = tuple(name for name in RECIPES if "flow" not in inspect.signature(RECIPES[name]).parameters)
# What suits the digits, where a flow's own defaults are for more than that.
_FOR_DIGITS = {
    "glow": {"steps": 32, "levels": 2, "hidden_channels": 32},
    # Its scales have far to go from 1, and decay would hold them there.
    "nice": {"hidden_units": [256, 256], "weight_decay": 0.0},
}
_WEIGHT_DECAY = 0.3
_RENAMED = {"coupling": "law"}  # What runs of 0.1.0 wrote.


DATA, FLOW, ARGUMENTS, TRAINING = "Data", "Flow", "Arguments of the flow", "Training"


def _setting(default, panel: str, text: str):
    """A field of `Settings`: also an option of the command line, under a heading."""
    return dataclasses.field(default=default, metadata={"panel": panel, "help": text})


def _argument(text: str):
    """A field that is an argument of the flow's function; None leaves it to that."""
    return _setting(None, ARGUMENTS, text)


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that decides a training run; the defaults train Glow on scikit-learn's digits.

    What a field means is its `help`; the command line makes its options of them. Where a flow's
    argument or the weight decay is None, what suits the digits takes its place.

    Raises:
      ValueError, TypeError: If a setting is out of its range, or the flow takes no such argument.
    """

    data: str = _setting("digits", DATA, "digits, a .npz file, a folder of images, or tfds:NAME.")
    data_dir: str | None = _setting(None, DATA, "Folder of tensorflow-datasets.")
    download: bool = _setting(False, DATA, "Allow to download the data.")
    num_bits: int = _setting(8, DATA, "Bits to keep of a pixel's 8.")
    flip: bool = _setting(False, DATA, "Flip half of the training images left to right.")
    image_size: int | None = _setting(None, DATA, "Crop and resize images to squares.")
    flow: str = _setting("glow", FLOW, f"Architecture: {', '.join(FLOWS)}.")
    conditional: bool = _setting(False, FLOW, "Condition on the images' labels.")
    levels: int | None = _argument("Number of scales.")
    steps: int | None = _argument("Steps of flow, at each scale.")
    hidden_channels: int | None = _argument("Width of convolutional networks.")
    hidden_units: list[int] | None = _argument(  # noqa: RUF009
        "Size of a dense network's hidden layer; repeat it for each layer."
    )
    law: str | None = _argument(
        "affine, affine_softsign, affine_exp or additive; spline for maf, iaf."
    )
    conv: str | None = _argument("1x1 convolutions: lu or plain.")
    factor_out: float | None = _argument("Part of the channels that leaves a level.")
    alpha: float | None = _argument("Margin of the logit of iresnet, residual_flow.")
    coefficient: float | None = _argument("Bound of the norms of iresnet, residual_flow.")
    epochs: int = _setting(20, TRAINING, "Passes over the training images.")
    batch_size: int = _setting(64, TRAINING, "Images a step.")
    learning_rate: float = _setting(1e-2, TRAINING, "Of Adamax, at its highest.")
    warmup_epochs: int = _setting(
        2, TRAINING, "Epochs in which the learning rate rises, at most half of them all."
    )
    schedule: str = _setting(
        "cosine", TRAINING, "What follows the warmup: cosine, down to 0 at the end, or constant."
    )
    patience: int | None = _setting(
        None, TRAINING, "Epochs without a better validation after which training stops."
    )
    weight_decay: float | None = _setting(None, TRAINING, "Against overfitting; 0 for large data.")
    seed: int = _setting(0, TRAINING, "Seed of the split, the weights and the noise.")
    jit_compile: bool | None = _setting(None, TRAINING, "Compile with XLA, or not.")

    def __post_init__(self):
        check_choice(self.flow, FLOWS, "flow")
        self._fill(_FOR_DIGITS.get(self.flow, {}))
        self._fill({"weight_decay": _WEIGHT_DECAY})
        check_positive_int(self.epochs, "epochs")
        check_choice(self.schedule, ("cosine", "constant"), "schedule")
        if self.patience is not None:
            check_positive_int(self.patience, "patience")
        for argument in ("learning_rate", "warmup_epochs", "weight_decay", "seed"):
            if not getattr(self, argument) >= 0:
                raise ValueError(
                    f"{argument} must be at least 0. Received: {getattr(self, argument)}."
                )
        if self.conditional and "num_classes" not in self._accepted():
            raise ValueError(f"conditional means nothing to the flow {self.flow!r}.")
        for argument, value in self._arguments().items():
            if argument not in self._accepted():
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
        arguments = {**self._arguments(), "seed": self.seed}
        if self.conditional:
            arguments["num_classes"] = num_classes
        flow = RECIPES[self.flow](image_shape, **arguments)
        return FlowModel(Dequantized(flow, num_bins), seed=self.seed)

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
          UserError: If the file is none of a run's, or of one with other settings.
        """
        try:
            settings = json.loads(pathlib.Path(path).read_text())["settings"]
            return cls(**{_RENAMED.get(name, name): value for name, value in settings.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{str(path)!r} does not hold the settings of a run: {error}."
            ) from error

    def _arguments(self) -> dict:
        """The flow's arguments that are set."""
        names = [f.name for f in dataclasses.fields(self) if f.metadata["panel"] == ARGUMENTS]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def _accepted(self) -> set[str]:
        names = set(inspect.signature(RECIPES[self.flow]).parameters)
        return {_RENAMED.get(name, name) for name in names}
