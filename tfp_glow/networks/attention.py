"""The attention of a transformer's layer."""

from __future__ import annotations

import keras

from tfp_glow.core.checks import check_bool, check_positive_int
from tfp_glow.networks.token_network import TokenNetwork

__all__ = ["SelfAttention"]


@keras.saving.register_keras_serializable("tfp_glow")
class SelfAttention(TokenNetwork):
    """Layer normalization and self-attention of several heads: the F of y = x + F(x).

        F(x) = concat_h(softmax(q_h k_h' / sqrt(d)) v_h) W,   (q, k, v) = normalize(x) U

    Where it is causal, a token attends to itself and to those before it, so that its output never
    changes when others follow: `step` gives one token's output from the keys and values of those
    before, each of which is computed once.

    Args:
      heads: Number of heads, a divisor of the width.
      causal: Whether tokens attend to none that comes after them.
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
        causal: bool = False,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        seed: int | None = None,
        dtype=None,
        name: str | None = None,
    ):
        super().__init__(dropout=dropout, drop_path=drop_path, seed=seed, dtype=dtype, name=name)
        self.heads = check_positive_int(heads, "heads")
        self.causal = check_bool(causal, "causal")

    def _build(self, input_shape):
        width = input_shape[-1]
        if width % self.heads:
            raise ValueError(f"heads must divide the width {width}. Received: heads={self.heads}.")
        in_seed, out_seed = self.seeds
        self.project_in = self.dense(3 * width, width, in_seed)
        self.project_out = self.dense(width, width, out_seed)

    def empty_cache(self, batch: int, tokens: int) -> tuple:
        """The keys and values of no token yet, each `[batch, tokens, heads, width / heads]`."""
        width = self.project_out.kernel.shape[0]
        shape = (batch, tokens, self.heads, width // self.heads)
        return keras.ops.zeros(shape, self.compute_dtype), keras.ops.zeros(shape, self.compute_dtype)

    def step(self, x, cache: tuple, index) -> tuple:
        """The output of one token where the layer is causal, outside of training.

        Args:
          x: `[batch, 1, width]`, the token.
          cache: Keys and values of the tokens before, as `empty_cache` or the last step gave them.
          index: The token's place, a scalar.

        Returns:
          F(x) `[batch, 1, width]`, and the cache with this token's key and value.
        """
        query, *new = self._heads(self.normalize(x))
        places = keras.ops.arange(cache[0].shape[1])
        is_here = (places == index)[:, None, None]
        keys, values = cache = tuple(map(lambda n, c: keras.ops.where(is_here, n, c), new, cache))
        return self._attended(query, keys, values, mask=(places <= index)[None, None, None]), cache

    def _apply(self, x):
        return self._attended(*self._heads(x), is_causal=self.causal)

    def _heads(self, x) -> list:
        """Queries, keys and values of the heads, each `[batch, tokens, heads, width / heads]`."""
        _, tokens, width = x.shape
        heads = (-1, tokens, 3, self.heads, width // self.heads)
        return keras.ops.unstack(keras.ops.reshape(self.project_in(x), heads), axis=2)

    def _attended(self, query, key, value, **masked):
        attended = keras.ops.dot_product_attention(query, key, value, **masked)
        _, tokens, heads, size = query.shape
        return self.project_out(keras.ops.reshape(attended, (-1, tokens, heads * size)))
