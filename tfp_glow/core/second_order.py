"""Networks whose first derivatives are differentiated again."""

from __future__ import annotations

from collections.abc import Callable

import keras

from tfp_glow.core.compat import layers_inside

__all__ = ["refuse_wrong_second_derivatives"]

_WRONG = (keras.layers.LayerNormalization.call, keras.layers.GroupNormalization.call)


def refuse_wrong_second_derivatives(network: Callable) -> None:
    """Raises where Keras normalizes: TensorFlow's `moments` has wrong second derivatives.

    Log-dets that are made of derivatives of a network would be trained by wrong gradients.

    Raises:
      ValueError: If the network is or holds such a layer.
    """
    layers = layers_inside(network) if isinstance(network, keras.layers.Layer) else []
    for layer in layers:
        if type(layer).call in _WRONG:
            raise ValueError(
                "network must normalize by tfp_glow.networks.LayerNorm or GroupNorm, because the "
                "second derivatives of Keras' layers are wrong on TensorFlow. "
                f"Received: {layer.name}, a keras.layers.{type(layer).__name__}."
            )
