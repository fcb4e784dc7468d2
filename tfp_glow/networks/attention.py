"""The attention of a transformer's layer."""

from __future__ import annotations

import keras
import numpy as np

from tfp_glow.core.checks import check_positive_int, check_seed
from tfp_glow.networks.configured import ConfiguredLayer

__all__ = ["SelfAttention"]


@keras.saving.register_keras_serializable("tfp_glow")
class SelfAttention(ConfiguredLayer):
    """Layer normalization and self-attention of several heads: the F of y = x + F(x).

        F(x) = concat_h(softmax(q_h k_h' / sqrt(d)) v_h) W,   (q, k, v) = normalize(x) U

    Args:
      heads: Number of heads, a divisor of the width.
      dropout: Share of the output's values that training drops.
      drop_path: Share of the examples for which training drops the whole output (stochastic depth).
      seed: Seed of the initial weights and of what is dropped.
      dtype: Keras dtype or policy; Keras' own default when omitted.
      name: Name of the layer.

    Call with `[batch, tokens, width]`; returns the same shape.

    Raises:
      ValueError, TypeError: If `heads` does not divide the width.

    Example:

        SelfAttention(4)(tf.zeros([8, 64, 96]))     # [8, 64, 96]

    References:
      Vaswani et al., "Attention Is All You Need", arXiv:1706.03762.
      Huang et al., "Deep Networks with Stochastic Depth", arXiv:1603.09382.
    """

    def __init__(
        self,
        heads: int,
        *,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        seed: int | None = None,
        dtype=None,
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        self.heads = check_positive_int(heads, "heads")
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
        if width % self.heads:
            raise ValueError(f"heads must divide the width {width}. Received: heads={self.heads}.")
        self.project_in, self.project_out = (
            keras.layers.Dense(
                units,
                kernel_initializer=keras.initializers.GlorotUniform(seed),
                dtype=self.dtype_policy,
            )
            for units, seed in ((3 * width, self.seeds[0]), (width, self.seeds[1]))
        )
        for layer in (self.normalize, self.project_in, self.project_out):
            layer.build((*input_shape[:-1], width))

    def call(self, x):
        _, tokens, width = x.shape
        heads = (-1, tokens, 3, self.heads, width // self.heads)
        packed = keras.ops.reshape(self.project_in(self.normalize(x)), heads)
        query, key, value = keras.ops.unstack(packed, axis=2)
        attended = keras.ops.dot_product_attention(query, key, value)
        out = self.project_out(keras.ops.reshape(attended, (-1, tokens, width)))
        return self.drop_path(self.dropout(out))

    def compute_output_shape(self, input_shape):
        return input_shape
