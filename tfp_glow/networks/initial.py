"""Where the weights of networks on vectors start."""

from __future__ import annotations

import keras

__all__ = ["uniform"]


def uniform(inputs: int, seed: int | None) -> keras.initializers.Initializer:
    """Of kernels and biases alike: uniform within 1 / sqrt(inputs) of 0.

    Biases that differ spread the units' bends over the data, and a last layer that is small but not
    zero moves the layers below from the first step on. Flows of two moons were at 0.44 nats after
    500 steps so, and at 1.2 from He's normal kernels with zero biases and a zero last layer.
    """
    reach = inputs**-0.5
    return keras.initializers.RandomUniform(-reach, reach, seed=seed)
