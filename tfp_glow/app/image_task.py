"""What tasks on images have in common."""

from __future__ import annotations

import abc
from typing import NamedTuple

import keras

from tfp_glow.app.errors import UserError, blames_input
from tfp_glow.app.settings import Settings
from tfp_glow.app.task import Task
from tfp_glow.data import ImageData, load_images

__all__ = ["ImageKind", "ImageTask"]


class ImageKind(NamedTuple):
    """What the images are that a model is for; classes are None where they do not count."""

    image_shape: tuple[int, int, int]
    num_bins: int
    num_classes: int | None

    def __str__(self) -> str:
        labels = f" and {self.num_classes} classes" if self.num_classes else ""
        return f"images of shape {self.image_shape}, pixels of {self.num_bins} values{labels}"


class ImageTask(Task):
    """A task on integer images."""

    subject = "images"

    @abc.abstractmethod
    def image_kind(self, model: keras.Model) -> ImageKind:
        """What images a model is for."""

    def load(self, settings: Settings) -> ImageData:
        with blames_input():
            return load_images(settings.data, **settings.data_options())

    def check_trainable(self, data: ImageData) -> None:
        super().check_trainable(data)
        if data.image_shape[-1] not in (1, 3):
            raise UserError(
                f"data must be grey or RGB images. Received: images of shape {data.image_shape}."
            )

    def describe_data(self, data: ImageData) -> str:
        size = "x".join(map(str, data.image_shape))
        return f"{size}, values 0 to {data.num_bins - 1}"

    def check_fits(self, model: keras.Model, data: ImageData, source: str) -> None:
        expected = self.image_kind(model)
        classes = None if expected.num_classes is None else data.num_classes
        received = ImageKind(tuple(data.image_shape), data.num_bins, classes)
        if expected != received:
            raise UserError(f"data must have {expected}. Received: {source!r} with {received}.")

    def settings_for(self, model: keras.Model) -> Settings:
        num_bins = self.image_kind(model).num_bins
        bits = num_bins.bit_length() - 1
        return Settings(task=self.name, num_bits=bits if num_bins == 2**bits else 8)
