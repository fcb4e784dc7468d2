"""The unit between two stages of a RevNet."""

from __future__ import annotations

import functools

import keras

from tfp_glow.classifiers.ingredients import unit_network
from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.networks.configured import ConfiguredLayer

__all__ = ["DownsamplingUnit"]


@keras.saving.register_keras_serializable("tfp_glow")
class DownsamplingUnit(ConfiguredLayer):
    """A reversible unit's formula at another resolution, which cannot be undone.

        y1 = shortcut(x1) + f(x2),   y2 = shortcut(x2) + g(y1)

    The shortcut is the mean over patches, with channels of zeros behind it; f begins with a strided
    convolution. What the unit computes is stored for the gradient, as in any Keras layer.

    Args:
      filters: Channels of the output, even and no fewer than those of the input.
      strides: Side of the patches.
      bottleneck: Kind of f and g; see `revnet`.
      seed: Seed of the initial weights.
      network_dtype: Keras dtype or policy of f and g; Keras' default when omitted.
      dtype: dtype of the values.
      name: Name of the layer.

    Call with `[batch, H, W, C]`; returns `[batch, H / strides, W / strides, filters]`.
    """

    def __init__(
        self,
        filters: int,
        *,
        strides: int = 2,
        bottleneck: bool = False,
        seed: int | None = None,
        network_dtype: str | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        self.half = check_positive_int(filters, "filters") // 2
        check_positive_int(strides, "strides")
        f_seed, g_seed = independent_seeds(seed, 2)
        network = functools.partial(unit_network, self.half, bottleneck, dtype=network_dtype)
        self.f, self.g = network(strides=strides, seed=f_seed), network(seed=g_seed)
        self.pool = keras.layers.AveragePooling2D(
            strides, padding="same", data_format="channels_last", dtype=dtype
        )

    def build(self, input_shape):
        half = (*input_shape[:-1], input_shape[-1] // 2)
        self.f.build(half)
        self.g.build(self.f.compute_output_shape(half))

    def call(self, x):
        x1, x2 = keras.ops.split(x, 2, axis=-1)
        y1 = self._shortcut(x1) + keras.ops.cast(self.f(x2), self.dtype)
        y2 = self._shortcut(x2) + keras.ops.cast(self.g(y1), self.dtype)
        return keras.ops.concatenate([y1, y2], -1)

    def _shortcut(self, x):
        added = self.half - x.shape[-1]
        return keras.ops.pad(self.pool(x), [[0, 0], [0, 0], [0, 0], [0, added]])

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = self.pool.compute_output_shape(input_shape)
        return batch, height, width, 2 * self.half
