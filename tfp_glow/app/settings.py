"""The settings of a training run."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
from typing import Any

from tfp_glow.app.architectures import CLASSIFIERS, FAMILIES, FLOWS, Family
from tfp_glow.app.autoencoders import POSTERIORS, PRIORS
from tfp_glow.app.errors import UserError
from tfp_glow.app.strategies import STRATEGIES
from tfp_glow.core.checks import check_choice, check_positive_int
from tfp_glow.data.table_files import is_table

__all__ = ["Settings"]

_RENAMED = {"coupling": "law"}  # What runs of 0.1.0 wrote.
# Settings of densities alone, the default first.
_OF_DENSITIES = {
    "dequantization": ("uniform", "variational"),
    "loss": ("likelihood", "flow_matching", "ot_flow_matching"),
}

# Settings of tables alone, and of images alone, with what they are where they mean nothing.
_OF_TABLES = {"columns": None, "target": None}
_OF_IMAGES = {"num_bits": 8, "flip": False, "image_size": None, "conditional": False}

DATA, MODEL, TRAINING = "Data", "Model", "Training"
OF_FLOWS, OF_CLASSIFIERS = "Arguments of the flow", "Arguments of the classifier"
OF_AUTOENCODERS = "Arguments of the autoencoder"


def _setting(default, panel: str, text: str):
    """A field of `Settings`: also an option of the command line, under a heading."""
    return dataclasses.field(default=default, metadata={"panel": panel, "help": text})


def _argument(text: str, panel: str = OF_FLOWS):
    """A field that is an argument of an architecture's function; None leaves it to that."""
    return _setting(None, panel, text)


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that decides a training run; the defaults train Glow on scikit-learn's digits.

    What a field means is its `help`; the command line makes its options of them. Where the
    architecture, an argument of it or the weight decay is None, what suits the digits takes its
    place.

    Raises:
      ValueError, TypeError: If a setting is out of its range, or means nothing to the task or the
        architecture.
    """

    data: str = _setting(
        "digits",
        DATA,
        "digits, a .npz file, a folder of images or of .tfrecord files, a pattern of these, or "
        "tfds:NAME; or a table: .csv, .parquet, .npy.",
    )
    data_dir: str | None = _setting(None, DATA, "Folder of tensorflow-datasets.")
    download: bool = _setting(False, DATA, "Allow to download the data.")
    num_bits: int = _setting(8, DATA, "Bits to keep of a pixel's 8.")
    flip: bool = _setting(False, DATA, "Flip half of the training images left to right.")
    image_size: int | None = _setting(None, DATA, "Crop and resize images to squares.")
    columns: list[str] | None = _setting(  # noqa: RUF009
        None, DATA, "Column of a table whose density is wanted; repeat it. All when omitted."
    )
    target: list[str] | None = _setting(  # noqa: RUF009
        None, DATA, "Column of a table to condition on; repeat it for more."
    )
    task: str | None = _setting(
        None,
        MODEL,
        "density, by a flow, classify, by a reversible classifier, or vae, by an autoencoder; or "
        "table, by a flow, which is meant where the data are one.",
    )
    flow: str | None = _setting(None, MODEL, f"To learn the density: {', '.join(FLOWS)}.")
    model: str | None = _setting(None, MODEL, f"To classify: {', '.join(CLASSIFIERS)}.")
    posterior: str | None = _setting(None, MODEL, f"Of an autoencoder: {', '.join(POSTERIORS)}.")
    conditional: bool = _setting(False, MODEL, "Condition the flow on the images' labels.")
    dequantization: str = _setting(
        "uniform", MODEL, "Noise on the pixels: uniform, or variational, which is learned too."
    )
    loss: str = _setting(
        "likelihood", MODEL, "likelihood; flow_matching or ot_flow_matching, for ffjord."
    )
    network: str | None = _argument("conv or vit, of glow; mlp or unet, of ffjord.")
    levels: int | None = _argument("Number of scales.")
    steps: int | None = _argument("Steps of flow, at each scale.")
    hidden_channels: int | None = _argument("Width of convolutional networks.")
    hidden_units: list[int] | None = _argument(  # noqa: RUF009
        "Size of a dense network's hidden layer; repeat it for each layer."
    )
    dropout: float | None = _argument(
        "Share of hidden units that training drops in dense networks, or of values in revvit."
    )
    law: str | None = _argument(
        "affine, affine_softsign, affine_exp, additive or logistic_mixture; spline for maf, iaf."
    )
    conv: str | None = _argument("1x1 convolutions: lu or plain.")
    factor_out: float | None = _argument("Part of the channels that leaves a level.")
    alpha: float | None = _argument("Margin of the logit of iresnet, residual_flow.")
    coefficient: float | None = _argument("Bound of the norms of iresnet, residual_flow.")
    blocks: int | None = _argument("Blocks of jet, tarflow, and of realnvp's residual networks.")
    layers: int | None = _argument(
        "Layers of each network of jet, tarflow, waveglow, and of a glow with network vit."
    )
    patch_size: int | None = _argument("Side of a patch of jet, tarflow, revvit.")
    width: int | None = _argument("Size of a token of jet, tarflow, revvit.")
    heads: int | None = _argument("Heads of attention of jet, tarflow, glow, revvit.")
    units: list[int] | None = _argument(  # noqa: RUF009
        "Reversible units of a stage of revnet, irevnet; repeat it for each.", OF_CLASSIFIERS
    )
    filters: list[int] | None = _argument(  # noqa: RUF009
        "Channels of revnet behind its first convolution; repeat it for each stage.",
        OF_CLASSIFIERS,
    )
    strides: list[int] | None = _argument(  # noqa: RUF009
        "Side of the patches that a stage of irevnet folds; repeat it for each.", OF_CLASSIFIERS
    )
    added_channels: int | None = _argument("Channels of zeros for irevnet.", OF_CLASSIFIERS)
    depth: int | None = _argument("Layers of revvit.", OF_CLASSIFIERS)
    drop_path: float | None = _argument("Share of examples that skip a network.", OF_CLASSIFIERS)
    latents: int | None = _argument("Number of latents.", OF_AUTOENCODERS)
    prior: str | None = _argument(f"Of the latents: {', '.join(PRIORS)}.", OF_AUTOENCODERS)
    warmup_steps: int | None = _argument(
        "Steps of training until the latents' divergence counts whole.", OF_AUTOENCODERS
    )
    epochs: int = _setting(20, TRAINING, "Passes over the training data.")
    batch_size: int = _setting(64, TRAINING, "Images or rows a step.")
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
    strategy: str = _setting(
        "none",
        TRAINING,
        "none, for one device; mirrored, for all GPUs; multiworker, for several machines with a "
        "TF_CONFIG each; tpu. --batch-size is that of all together.",
    )

    def __post_init__(self):
        self._fill({"task": "table" if is_table(self.data) else "density"})
        check_choice(self.task, FAMILIES, "task")
        self._fill({self._family.setting: self._family.default})
        check_choice(self.architecture, self._family.makers, self._family.setting)
        self._check_meanings()
        self._fill(self._family.suiting(self.architecture))
        check_positive_int(self.epochs, "epochs")
        check_choice(self.schedule, ("cosine", "constant"), "schedule")
        check_choice(self.strategy, STRATEGIES, "strategy")
        if self.patience is not None:
            check_positive_int(self.patience, "patience")
        for argument in ("learning_rate", "warmup_epochs", "weight_decay", "seed"):
            if not getattr(self, argument) >= 0:
                raise ValueError(
                    f"{argument} must be at least 0. Received: {getattr(self, argument)}."
                )

    def _check_meanings(self) -> None:
        """Raises where something is set that means nothing to the task or the architecture."""
        for family in FAMILIES.values():
            value = getattr(self, family.setting)
            if family.setting != self._family.setting and value is not None:
                raise ValueError(
                    f"{family.setting} means nothing to the task {self.task!r}. "
                    f"Received: {value!r}."
                )
        for name, values in _OF_DENSITIES.items():
            value = check_choice(getattr(self, name), values, name)
            if self.task != "density" and value != values[0]:
                raise ValueError(
                    f"{name} means nothing to the task {self.task!r}. Received: {value!r}."
                )
        for name, value in (_OF_TABLES if self.task != "table" else _OF_IMAGES).items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"{name} means nothing to the task {self.task!r}. "
                    f"Received: {getattr(self, name)!r}."
                )
        chosen = f"the {self._family.setting} {self.architecture!r}"
        accepted = self._family.accepted(self.architecture)
        if self.conditional and (self._family.needs_labels or "num_classes" not in accepted):
            raise ValueError(f"conditional means nothing to {chosen}.")
        if self.target and "condition_size" not in accepted:
            raise ValueError(f"target means nothing to {chosen}. Received: {self.target}.")
        for argument, value in self._arguments().items():
            if argument not in accepted:
                raise ValueError(f"{argument} means nothing to {chosen}. Received: {value!r}.")
        if self.task == "classify" and self.strategy == "multiworker":
            raise ValueError(
                "strategy multiworker means nothing to the task 'classify': Keras trains no model "
                "of its own on several workers."
            )

    def _fill(self, values: dict) -> None:
        """Sets what is still open."""
        for name, value in values.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    @property
    def architecture(self) -> str:
        """Name of the flow, the classifier or the autoencoder's posterior."""
        return getattr(self, self._family.setting)

    @property
    def needs_labels(self) -> bool:
        """Whether training takes the images' labels."""
        return self._family.needs_labels or self.conditional

    def data_options(self) -> dict:
        """The arguments of `load_images` beside the source."""
        names = ("batch_size", "num_bits", "flip", "image_size", "seed", "data_dir", "download")
        return {"labels": self.needs_labels, **{name: getattr(self, name) for name in names}}

    def table_options(self) -> dict:
        """The arguments of `load_table` beside the source."""
        names = ("columns", "batch_size", "seed")
        return {"target": self.target or (), **{name: getattr(self, name) for name in names}}

    def build(self, event_shape: int | tuple, num_classes: int | None, **more) -> Any:
        """The untrained network; `num_classes` counts where labels are needed."""
        arguments = {**self._arguments(), "seed": self.seed, **more}
        if self.needs_labels:
            arguments["num_classes"] = num_classes
        return self._family.makers[self.architecture](event_shape, **arguments)

    def default_folder(self) -> pathlib.Path:
        """runs/ARCHITECTURE-DATA."""
        name = self.data.removeprefix("tfds:")
        if name == self.data:
            name = pathlib.Path(name).resolve().stem
        return pathlib.Path("runs") / f"{self.architecture}-{re.sub(r'[^A-Za-z0-9_.]+', '-', name)}"

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

    @property
    def _family(self) -> Family:
        return FAMILIES[self.task]

    def _arguments(self) -> dict:
        """The architecture's arguments that are set."""
        panels = (OF_FLOWS, OF_CLASSIFIERS, OF_AUTOENCODERS)
        names = [f.name for f in dataclasses.fields(self) if f.metadata["panel"] in panels]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}
