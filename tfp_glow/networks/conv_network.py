"""What the convolutional coupling networks have in common."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.core.state import Stateful
from tfp_glow.networks.configured import ConfiguredLayer

__all__ = ["ConvNetwork"]


class ConvNetwork(ConfiguredLayer, Stateful):
    """A network on images that is initialized from data and may take a condition vector.

    A subclass writes one method,

        _apply(x, embedded, run) -> output

    which calls its `ActNormConv2D` layers as `run(layer, x)`, so that the same lines compute
    and initialize. `embedded` is the condition as a map of hidden channels, to be added to the
    first layer's output.

    Args:
      hidden_channels: Channels to which the condition is brought.
      condition_size: Size of the condition vector, or None for no condition.
      seed: Seed of the condition's embedding.
      dtype: Keras dtype or policy.
      name: Name of the layer.
    """

    def __init__(
        self,
        *,
        hidden_channels: int,
        condition_size: int | None,
        seed: int,
        dtype,
        name: str | None,
    ):
        super().__init__(dtype=dtype, name=name)
        self.embed = None
        if condition_size is not None:
            initializer = keras.initializers.RandomNormal(stddev=0.05, seed=seed)
            self.embed = keras.layers.Dense(
                hidden_channels,
                use_bias=False,
                kernel_initializer=initializer,
                dtype=self.dtype_policy,
                name="embed",
            )
            self.embed.build((None, condition_size))
        # Saved, so that a flow knows after loading that its network was initialized.
        self.flag = self.add_weight(
            shape=(), initializer="zeros", dtype="bool", trainable=False, name="flag"
        )

    def call(self, inputs):
        return self._run(inputs, lambda layer, x: layer(x))

    def initialize(self, inputs):
        """Sets the hidden layers' normalization from a batch; returns the network's output."""
        self.flag.assign(True)
        return self._run(inputs, lambda layer, x: layer.initialize(x))

    @property
    def initialized_flags(self) -> list[keras.Variable]:
        return [self.flag]

    def _apply(self, x, embedded, run: Callable):
        raise NotImplementedError(f"{type(self).__name__} must define _apply.")

    def _run(self, inputs, run: Callable):
        x, condition = split_condition(inputs)

        def on_batch(inputs):
            return self._apply(*self._with_embedding(inputs), run)

        return with_one_batch_dimension(on_batch, x, 3, condition)

    def _with_embedding(self, inputs):
        if tf.is_tensor(inputs):
            return tf.cast(inputs, self.compute_dtype), tf.zeros([], self.compute_dtype)
        x, condition = (tf.cast(value, self.compute_dtype) for value in inputs)
        return x, self.embed(condition)[:, tf.newaxis, tf.newaxis, :]
