"""Dropout whose units change once a training step, not with every call."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_glow.core.backend import backend
from tfp_glow.core.checks import check_number
from tfp_glow.core.compat import is_training
from tfp_glow.core.noise_seed import first_noise_seed, local_noise_seed, next_noise_seed
from tfp_glow.core.state import Stateful

__all__ = ["Dropout", "Dropping"]


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
            start = first_noise_seed(seed)
            self.noise_seed = self.add_weight(
                shape=(2,),
                initializer=lambda shape, dtype=None: tf.constant(start, dtype),
                dtype="int32",
                trainable=False,
                name="noise_seed",
            )
        self.built = True

    def call(self, hidden, *, index: int):
        if not self.drops:
            return hidden
        return hidden * self.factors(tf.shape(hidden), index, hidden.dtype)

    @property
    def drops(self) -> bool:
        """Whether Keras trains here and now, and there is something to drop."""
        return self.rate > 0 and is_training()

    def factors(self, shape, index: int, dtype):
        """What training multiplies the units of hidden layer `index` by, `[batch, units]`."""
        seed = local_noise_seed(self.noise_seed, index)
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
            self.noise_seed.assign(next_noise_seed(self.noise_seed))


class Dropping(Stateful):
    """A network with a layer `dropout`, whose units move on with the network.

    Attributes:
      dropout: The layer.
    """

    dropout: Dropout

    @property
    def advances(self) -> bool:
        return self.dropout.advances

    def advance(self) -> None:
        """Draws other units to drop."""
        self.dropout.advance()
