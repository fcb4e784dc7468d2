"""Dropout whose units change once a training step, not with every call."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_glow.core.backend import backend
from tfp_glow.core.checks import check_number
from tfp_glow.core.randomness import random_generator, replica_index
from tfp_glow.core.state import Stateful

__all__ = ["Dropout"]

_LAYERS = 2**16  # As far as the indices of one network's layers may go.


class Dropout(keras.layers.Layer, Stateful):
    """Sets a share of a network's hidden units to zero in training, others in each example.

        y = x m / (1 - rate),    m is 0 with the probability `rate`, else 1

    Units are those of `noise_seed`, a saved variable, until `advance` draws others. So a pass and
    its inverse, a gradient that evaluates again, and a solver that goes through the network many
    times all see one function. Keras' own layer draws anew in each call.

    Args:
      rate: The share, from 0 to below 1.
      seed: Seed of the noise.

    Call with `[batch, units]` and the `index` of the hidden layer, each of which drops others.

    Raises:
      ValueError, TypeError: If `rate` is out of its range.
    """

    def __init__(self, rate: float, *, seed: int | None, dtype):
        super().__init__(dtype=dtype, name="dropout")
        self.rate = check_number(rate, "dropout", least=0, below=1)
        self.noise_seed = None
        if rate:
            start = random_generator(seed).integers(2**31 - 1, size=2)
            self.noise_seed = self.add_weight(
                shape=(2,),
                initializer=lambda shape, dtype=None: tf.constant(start, dtype),
                dtype="int32",
                trainable=False,
                name="noise_seed",
            )
        self.built = True

    def call(self, hidden, *, index: int, training: bool = False):
        if not (training and self.rate):
            return hidden
        return hidden * self.factors(tf.shape(hidden), index, hidden.dtype)

    def factors(self, shape, index: int, dtype):
        """What training multiplies the units of hidden layer `index` by, `[batch, units]`."""
        place = index + _LAYERS * replica_index()
        seed = tf.convert_to_tensor(self.noise_seed) + tf.stack([place, 0])
        # On CPUs XLA takes ten times as long for Philox, and TensorFlow itself has no Threefry.
        algorithm = "threefry" if backend() == "cpu_xla" else "auto_select"
        kept = tf.random.stateless_uniform(shape, seed, alg=algorithm) >= self.rate
        return tf.cast(kept, dtype) / tf.cast(1.0 - self.rate, dtype)

    @property
    def advances(self) -> bool:
        return self.rate > 0

    def advance(self) -> None:
        """Draws other units."""
        if self.advances:
            self.noise_seed.assign(tf.convert_to_tensor(self.noise_seed) + tf.constant([0, 1]))
