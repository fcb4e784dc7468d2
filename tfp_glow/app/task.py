"""What the tasks of a run have in common."""

from __future__ import annotations

import abc
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import keras
import tensorflow as tf

from tfp_glow.app.settings import Settings
from tfp_glow.data import ImageData

__all__ = ["ImageKind", "Task"]


class ImageKind(NamedTuple):
    """What the images are that a model is for; classes are None where they do not count."""

    image_shape: tuple[int, int, int]
    num_bins: int
    num_classes: int | None

    def __str__(self) -> str:
        labels = f" and {self.num_classes} classes" if self.num_classes else ""
        return f"images of shape {self.image_shape}, pixels of {self.num_bins} values{labels}"


class Task(abc.ABC):
    """What a run trains a model for, and all in which runs differ for it.

    Attributes:
      product: What such a run holds, in words.
      curves: Headings of the learning curves, by the metric that each is of.
      pictures: Names of the files that `draw` may write.
    """

    product: str
    curves: Mapping[str, str]
    pictures: tuple[str, ...]

    @abc.abstractmethod
    def owns(self, model: keras.Model) -> bool:
        """Whether a model is one of the task's."""

    @abc.abstractmethod
    def new_model(self, settings: Settings, data: ImageData) -> keras.Model:
        """The untrained model, not compiled, the same each time for a seed."""

    def curves_of(self, settings: Settings) -> Mapping[str, str]:
        """`curves` of a run with these settings."""
        return self.curves

    @abc.abstractmethod
    def compile_options(self) -> dict:
        """The arguments of `compile` beside those that all runs share."""

    @abc.abstractmethod
    def image_kind(self, model: keras.Model) -> ImageKind:
        """What images a model is for."""

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
    def draw(
        self, model: keras.Model, data: ImageData, folder: str | os.PathLike, *, seed: int
    ) -> None:
        """Writes the pictures of a trained model."""

    @abc.abstractmethod
    def export(self, model: keras.Model, path: str | os.PathLike) -> None:
        """Writes a SavedModel that TensorFlow alone loads and runs."""
