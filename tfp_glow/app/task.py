"""What the tasks of a run have in common."""

from __future__ import annotations

import abc
import os
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from tfp_glow.app.errors import UserError
from tfp_glow.app.settings import Settings

__all__ = ["Task"]


class Task(abc.ABC):
    """What a run trains a model for, and all in which runs differ for it.

    Attributes:
      product: What such a run holds, in words.
      subject: What its data are, in the plural.
      curves: Headings of the learning curves, by the metric that each is of.
      pictures: Names of the files that `draw` may write.
    """

    product: str
    subject: str
    curves: Mapping[str, str]
    pictures: tuple[str, ...]

    @abc.abstractmethod
    def load(self, settings: Settings) -> Any:
        """The data, with `train`, `validation` and `test` batches, and `epochs` of them."""

    def check_trainable(self, data: Any) -> None:
        """Raises unless the data have all parts."""
        for name in ("validation", "test"):
            if getattr(data, name) is None:
                raise UserError(f"data must have {name} {self.subject}. Received: too few for any.")

    @abc.abstractmethod
    def describe_data(self, data: Any) -> str:
        """What the data are, in a few words."""

    @abc.abstractmethod
    def check_fits(self, model: keras.Model, data: Any, source: str) -> None:
        """Raises unless the data are of the kind that a model is for."""

    @abc.abstractmethod
    def settings_for(self, model: keras.Model, task: str) -> Settings:
        """Settings that make data fit a model without a run, of the task with this name."""

    @abc.abstractmethod
    def owns(self, model: keras.Model) -> bool:
        """Whether a model is one of the task's."""

    @abc.abstractmethod
    def new_model(self, settings: Settings, data: Any) -> keras.Model:
        """The untrained model, not compiled, the same each time for a seed."""

    def curves_of(self, settings: Settings) -> Mapping[str, str]:
        """`curves` of a run with these settings."""
        return self.curves

    @abc.abstractmethod
    def compile_options(self) -> dict:
        """The arguments of `compile` beside those that all runs share."""

    @abc.abstractmethod
    def measure(self, model: keras.Model, batches: tf.data.Dataset, *, seed: int = 0) -> float:
        """How good a model is on a data set."""

    @abc.abstractmethod
    def describe(self, measured: float) -> str:
        """What was measured, with its unit."""

    def remarks(self, model: keras.Model, batches: tf.data.Dataset, *, seed: int) -> Iterator[str]:
        """What else is to say of a model on a data set, in lines."""
        yield from ()

    @abc.abstractmethod
    def draw(self, model: keras.Model, data: Any, folder: str | os.PathLike, *, seed: int) -> None:
        """Writes the pictures of a trained model."""

    @abc.abstractmethod
    def export(self, model: keras.Model, path: str | os.PathLike) -> None:
        """Writes a SavedModel that TensorFlow alone loads and runs."""
