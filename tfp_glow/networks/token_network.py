"""What the residual functions of a transformer's layers have in common."""

from __future__ import annotations

import keras

from tfp_glow.core.checks import check_number
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.normalization import LayerNorm

__all__ = ["TokenNetwork"]


class TokenNetwork(ConfiguredLayer):
    """F of y = x + F(x) on tokens: normalized before, and dropped in part behind.

    A subclass writes `_apply(x)` on normalized tokens, and builds what that needs in
    `_build(input_shape)`. Dense layers are called on rows, `with_one_batch_dimension`: XLA cannot
    compile their gradient on tokens in a loop when the batch is dynamic.

    Args:
      dropout: Share of the output's values that training drops.
      drop_path: Share of the examples for which training drops the whole output (stochastic depth).
      seed: Seed of the initial weights and of what is dropped.
      dtype: Keras dtype or policy.
      name: Name of the layer.
    """

    def __init__(
        self, *, dropout: float, drop_path: float, seed: int | None, dtype, name: str | None
    ):
        super().__init__(dtype=dtype, name=name)
        for argument, value in (("dropout", dropout), ("drop_path", drop_path)):
            check_number(value, argument, least=0, below=1)
        *self.seeds, its_seed, path_seed = independent_seeds(seed, 4)
        policy = self.dtype_policy
        self.normalize = LayerNorm(epsilon=1e-6, dtype=policy)
        self.dropout = keras.layers.Dropout(dropout, seed=its_seed, dtype=policy)
        self.drop_path = keras.layers.Dropout(
            drop_path, noise_shape=(None, 1, 1), seed=path_seed, dtype=policy
        )

    def build(self, input_shape):
        self.normalize.build(input_shape)
        self._build(input_shape)

    def call(self, x):
        return self.drop_path(self.dropout(self._apply(self.normalize(x))))

    def compute_output_shape(self, input_shape):
        return input_shape

    def dense(self, units: int, inputs: int, seed: int, activation=None) -> keras.layers.Dense:
        """A built dense layer on tokens of size `inputs`."""
        layer = keras.layers.Dense(
            units,
            activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed),
            dtype=self.dtype_policy,
        )
        layer.build((None, None, inputs))
        return layer

    def _build(self, input_shape):
        raise NotImplementedError(f"{type(self).__name__} must define _build.")

    def _apply(self, x):
        raise NotImplementedError(f"{type(self).__name__} must define _apply.")
