"""The attention of a transformer's layer."""

from __future__ import annotations

import keras

from tfp_glow.core.checks import check_positive_int
from tfp_glow.networks.token_network import TokenNetwork

__all__ = ["SelfAttention"]


@keras.saving.register_keras_serializable("tfp_glow")
class SelfAttention(TokenNetwork):
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
        super().__init__(dropout=dropout, drop_path=drop_path, seed=seed, dtype=dtype, name=name)
        self.heads = check_positive_int(heads, "heads")

    def _build(self, input_shape):
        width = input_shape[-1]
        if width % self.heads:
            raise ValueError(f"heads must divide the width {width}. Received: heads={self.heads}.")
        in_seed, out_seed = self.seeds
        self.project_in = self.dense(3 * width, width, in_seed)
        self.project_out = self.dense(width, width, out_seed)

    def _apply(self, x):
        _, tokens, width = x.shape
        heads = (-1, tokens, 3, self.heads, width // self.heads)
        packed = keras.ops.reshape(self.project_in(x), heads)
        query, key, value = keras.ops.unstack(packed, axis=2)
        attended = keras.ops.dot_product_attention(query, key, value)
        return self.project_out(keras.ops.reshape(attended, (-1, tokens, width)))
