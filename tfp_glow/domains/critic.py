"""Networks that tell data of a domain from those that were mapped there."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

__all__ = ["critic"]


def critic(event_shape: Sequence[int], *, seed: int | None = None) -> keras.Model:
    """A network of events to one number: convolutions over images, dense layers over others."""
    seeds = iter(np.random.SeedSequence(seed).generate_state(4).tolist())

    def initializer():
        return keras.initializers.HeNormal(seed=next(seeds))

    image = len(event_shape) == 3
    layers = [keras.Input(tuple(event_shape))]
    if not image:
        layers.append(keras.layers.Flatten())
    for units in (32, 64, 128) if image else (128, 128):
        if image:
            strides = 2 if units > 32 else 1
            options = {"strides": strides, "padding": "same"}
            layer = keras.layers.Conv2D(units, 3, kernel_initializer=initializer(), **options)
        else:
            layer = keras.layers.Dense(units, kernel_initializer=initializer())
        layers += [layer, keras.layers.LeakyReLU(0.2)]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(1)])
