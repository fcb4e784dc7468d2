"""More channels than an image has."""

from __future__ import annotations

import keras

from tfp_glow.networks.configured import ConfiguredLayer

__all__ = ["ZeroChannels"]


@keras.saving.register_keras_serializable("tfp_glow")
class ZeroChannels(ConfiguredLayer):
    """Appends channels of zeros, which `invert` takes away.

    Args:
      count: Number of channels to append.
      dtype: dtype of the values.
      name: Name of the layer.

    Call with `[batch, H, W, C]`; returns `[batch, H, W, C + count]`.
    """

    def __init__(self, count: int, *, dtype: str = "float32", name: str | None = None):
        super().__init__(dtype=dtype, name=name)
        self.count = count

    def call(self, x):
        return keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [0, self.count]])

    def invert(self, y):
        """The first channels."""
        return y[..., : -self.count]
