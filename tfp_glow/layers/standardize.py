"""Pixels as networks like them."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_glow.core.checks import check_number, check_positive_int
from tfp_glow.networks.configured import ConfiguredLayer

__all__ = ["Standardize"]


@keras.saving.register_keras_serializable("tfp_glow")
class Standardize(ConfiguredLayer):
    """Integer pixels as floats of mean 0 and deviation 1, which `invert` makes integers again.

        y = (x - mean) / deviation

    Args:
      mean: Mean of each channel.
      deviation: Standard deviation of each channel.
      num_bins: Number of values that a pixel can take, from 0 to `num_bins - 1`.
      dtype: dtype of the floats.
      name: Name of the layer.

    Call with `[batch, ..., C]`; returns the same shape.

    Raises:
      TypeError: If an argument is no number.
      ValueError: If a deviation is not above 0, or the channels are not as many as the means.

    Example:

        standardize = Standardize([4.9], [6.0], num_bins=17)
        model = keras.Sequential([keras.Input([8, 8, 1], dtype="int32"), standardize, network])
    """

    def __init__(
        self,
        mean: Sequence[float],
        deviation: Sequence[float],
        num_bins: int,
        *,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        self.num_bins = check_positive_int(num_bins, "num_bins")
        self._mean = [check_number(value, "mean") for value in mean]
        self._deviation = [check_number(value, "deviation", above=0) for value in deviation]
        if len(self._mean) != len(self._deviation):
            raise ValueError(
                f"deviation must hold a number for each of {len(self._mean)} means. "
                f"Received: {len(self._deviation)}."
            )

    def build(self, input_shape):
        if input_shape[-1] != len(self._mean):
            raise ValueError(
                f"mean must hold a number for each of {input_shape[-1]} channels. "
                f"Received: {len(self._mean)}."
            )

    def call(self, x):
        x = keras.ops.cast(x, self.dtype)
        return (x - self._constant(self._mean)) / self._constant(self._deviation)

    def invert(self, y):
        """The integers `[batch, ..., C]` that are nearest to those of which y was made."""
        x = keras.ops.round(y * self._constant(self._deviation) + self._constant(self._mean))
        return keras.ops.cast(keras.ops.clip(x, 0, self.num_bins - 1), "int32")

    def compute_output_shape(self, input_shape):
        return input_shape

    def _constant(self, values: list[float]):
        return keras.ops.convert_to_tensor(values, self.dtype)
