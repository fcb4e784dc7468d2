"""Networks that tell data of a domain from those that were mapped there."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_glow.core.randomness import independent_seeds

__all__ = ["critic"]


def critic(event_shape: Sequence[int], *, seed: int | None = None) -> keras.Model:
    """A network of events to one number: convolutions over images, dense layers over others."""
    seeds = iter(independent_seeds(seed, 4))

    def options():
        kernel = keras.initializers.HeNormal(seed=next(seeds))
        return {"activation": "leaky_relu", "kernel_initializer": kernel}

    of_images = {"padding": "same", "data_format": "channels_last"}

    if len(event_shape) == 3:
        hidden = [
            keras.layers.Conv2D(units, 3, strides=strides, **of_images, **options())
            for units, strides in ((32, 1), (64, 2), (128, 2))
        ]
        hidden.append(keras.layers.Flatten("channels_last"))
    else:
        hidden = [keras.layers.Flatten("channels_last")]
        hidden += [keras.layers.Dense(128, **options()) for _ in range(2)]
    last = keras.layers.Dense(1, kernel_initializer=options()["kernel_initializer"])
    return keras.Sequential([keras.Input(tuple(event_shape)), *hidden, last])
