"""The multilayer perceptron of a transformer's layer."""

from __future__ import annotations

import keras
import numpy as np

from tfp_glow.core.checks import check_positive_int, check_seed
from tfp_glow.networks.configured import ConfiguredLayer

__all__ = ["TokenMLP"]


@keras.saving.register_keras_serializable("tfp_glow")
class TokenMLP(ConfiguredLayer):
    """Layer normalization and two dense layers for each token: the G of y = x + G(x).

        G(x) = gelu(normalize(x) U) W

    Args:
      expansion: Hidden units as a multiple of the width.
      dropout: Share of the output's values that training drops.
      drop_path: Share of the examples for which training drops the whole output (stochastic depth).
      seed: Seed of the initial weights and of what is dropped.
      dtype: Keras dtype or policy; Keras' own default when omitted.
      name: Name of the layer.

    Call with `[batch, tokens, width]`; returns the same shape.

    Raises:
      ValueError, TypeError: If `expansion` is no positive int.

    Example:

        TokenMLP()(tf.zeros([8, 64, 96]))     # [8, 64, 96]

    References:
      Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929, section 3.1.
    """

    def __init__(
        self,
        *,
        expansion: int = 4,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        seed: int | None = None,
        dtype=None,
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        self.expansion = check_positive_int(expansion, "expansion")
        check_seed(seed)
        self.seeds = np.random.SeedSequence(seed).generate_state(4).tolist()
        policy = self.dtype_policy
        self.normalize = keras.layers.LayerNormalization(epsilon=1e-6, dtype=policy)
        self.dropout = keras.layers.Dropout(dropout, seed=self.seeds[2], dtype=policy)
        self.drop_path = keras.layers.Dropout(
            drop_path, noise_shape=(None, 1, 1), seed=self.seeds[3], dtype=policy
        )

    def build(self, input_shape):
        width = input_shape[-1]
        hidden = self.expansion * width
        self.hidden, self.out = (
            keras.layers.Dense(
                units,
                activation,
                kernel_initializer=keras.initializers.GlorotUniform(seed),
                dtype=self.dtype_policy,
            )
            for units, activation, seed in (
                (hidden, "gelu", self.seeds[0]),
                (width, None, self.seeds[1]),
            )
        )
        self.normalize.build(input_shape)
        self.hidden.build(input_shape)
        self.out.build((*input_shape[:-1], hidden))

    def call(self, x):
        out = self.out(self.hidden(self.normalize(x)))
        return self.drop_path(self.dropout(out))

    def compute_output_shape(self, input_shape):
        return input_shape
