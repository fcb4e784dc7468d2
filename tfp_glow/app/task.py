"""What the tasks of a run have in common."""

from __future__ import annotations

import abc
import inspect
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from tfp_glow.app.errors import UserError
from tfp_glow.app.settings import Settings

__all__ = ["Sampler", "Task"]


class Task(abc.ABC):
    """What a run trains a model for, and all in which runs differ for it.

    Attributes:
      name: What `--task` calls it.
      product: What such a run holds, in words.
      subject: What its data are, in the plural.
      curves: Headings of the learning curves, by the metric that each is of.
      pictures: Names of the files that `draw` may write.
    """

    name: str
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
    def settings_for(self, model: keras.Model) -> Settings:
        """Settings that make data fit a model without a run."""

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

    def found(self, measured: float) -> str:
        """What was measured of the test data, as a sentence without its stop."""
        return f"Test {self.subject}: {self.describe(measured)}"

    def evaluate(self, model: keras.Model, data: Any, *, seed: int) -> Iterator[str]:
        """What there is to say of a model on test data, in lines.

        A task's own options are keyword arguments of its own method, None where they are not given;
        other data are handed over by the name of their source.
        """
        yield self.found(self.measure(model, data.test, seed=seed))

    def meaningful(self, method: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that are given, which a method of the task must take.

        Raises:
          UserError: If it does not take one.
        """
        given = {name: value for name, value in options.items() if value is not None}
        for name, value in given.items():
            if name not in inspect.signature(method).parameters:
                shown = str(value) if isinstance(value, pathlib.Path) else value
                raise UserError(
                    f"{name} means nothing to the task {self.name!r}. Received: {shown!r}."
                )
        return given

    @abc.abstractmethod
    def draw(self, model: keras.Model, data: Any, folder: str | os.PathLike, *, seed: int) -> None:
        """Writes the pictures of a trained model."""

    @abc.abstractmethod
    def export(self, model: keras.Model, path: str | os.PathLike) -> None:
        """Writes a SavedModel that TensorFlow alone loads and runs."""


class Sampler(abc.ABC):
    """A task whose models draw new examples.

    Attributes:
      samples_file: Name of the file of examples where the user names none.
    """

    samples_file: str

    @abc.abstractmethod
    def sample(
        self, model: keras.Model, num: int, output: pathlib.Path, *, temperature: float, seed: int
    ) -> None:
        """Writes new examples to a file; a task's own options are as those of `evaluate`."""
