"""A bijector as a Keras layer."""

from __future__ import annotations

import keras
import tensorflow_probability as tfp

from tfp_glow.config import from_config, to_config
from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.state import Stateful
from tfp_glow.layers.encoding import EncodingLayer

__all__ = ["Bijective"]

tfb = tfp.bijectors


@keras.saving.register_keras_serializable("tfp_glow")
class Bijective(EncodingLayer):
    """A layer that encodes by a bijector: y = bijector.inverse(x), and `invert(y)` gives x back.

    The bijector's variables are the layer's weights. Its log-det is not used: train a density with
    `FlowModel`. What a bijector sets from data is set by `layer.bijector.initialize(x)`.

    Args:
      bijector: A bijector without a condition, of this package or of TFP. Around a
        `Repeat(..., reversible=True)` the memory of training does not grow with the depth.
      name: Name of the layer.

    Call with `[batch, *event]`; returns the latents' shape.

    Raises:
      TypeError: If `bijector` is no bijector.
      ValueError: If it takes a condition, or has state that a density model would move on once a
        training step, as `ResidualBlock`.

    Example:

        x = keras.Input([32, 32, 3])
        y = Bijective(tgb.Squeeze(4))(x)     # [batch, 8, 8, 48]
    """

    def __init__(self, bijector: tfb.Bijector, *, name: str | None = None):
        if not isinstance(bijector, tfb.Bijector):
            raise TypeError(f"bijector must be a tfb.Bijector. Received: {bijector!r}.")
        if isinstance(bijector, FlowBijector) and bijector.condition_shape is not None:
            raise ValueError(f"bijector must take no condition. Received: {bijector!r}.")
        if isinstance(bijector, Stateful) and bijector.advances:
            raise ValueError(
                "bijector must have no state that changes once a training step, which a layer does "
                f"not move on; use it in a Flow. Received: {bijector!r}."
            )
        dtype = "float32" if bijector.dtype is None else bijector.dtype.name
        super().__init__(dtype=dtype, name=name)
        self._hold(bijector)
        self.built = True

    def get_config(self) -> dict:
        return {"bijector": to_config(self.bijector, "bijector"), "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> Bijective:
        return cls(from_config(config["bijector"]), name=config["name"])
