"""The attention of a transformer's layer."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_glow.core.checks import check_bool, check_positive_int
from tfp_glow.core.shapes import with_one_batch_dimension
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

    def empty_cache(self, batch, tokens: int) -> tuple:
        """The keys and values of no token yet, each `[batch * heads, tokens, width / heads]`."""
        shape = (batch * self.heads, tokens, self.project_out.kernel.shape[0] // self.heads)
        return tf.zeros(shape, self.compute_dtype), tf.zeros(shape, self.compute_dtype)

    def step(self, x, cache: tuple, index) -> tuple:
        """The output at one token where the layer is causal, outside of training.

        Args:
          x: `[batch, 1, width]`, the token.
          cache: Keys and values of the tokens before, as `empty_cache` or the last step gave them.
          index: The token's place, a scalar.

        Returns:
          F(x) `[batch, 1, width]`, and the cache with this token's key and value.
        """
        rows, tokens, size = tf.shape(cache[0])[0], cache[0].shape[1], cache[0].shape[2]
        query, *new = (tf.reshape(v, [rows, 1, size]) for v in self._heads(self.normalize(x)))
        # TensorFlow writes to a cache that nobody else holds in its place.
        places = tf.stack([tf.range(rows), tf.fill([rows], index)], -1)
        keys, values = cache = tuple(
            tf.tensor_scatter_nd_update(old, places, added[:, 0])
            for old, added in zip(cache, new, strict=True)
        )
        # The softmax in float32 at least, as Keras' attention has it.
        exact = keras.backend.result_type(query.dtype, "float32")
        scores = tf.cast(tf.matmul(query, keys, transpose_b=True), exact)
        scores = tf.where(tf.range(tokens) <= index, scores, scores.dtype.min)
        attended = tf.matmul(tf.cast(tf.nn.softmax(scores), values.dtype), values)
        attended = tf.reshape(attended, [-1, self.heads * size])
        return self.project_out(attended)[:, tf.newaxis], cache

    def _apply(self, x):
        _, tokens, width = x.shape
        heads = self._heads(x)
        attended = keras.ops.dot_product_attention(*heads, scale=1.0, is_causal=self.causal)
        attended = keras.ops.reshape(attended, (-1, tokens, width))
        return with_one_batch_dimension(self.project_out, attended, 1)

    def _heads(self, x) -> list:
        """Queries, scaled, keys and values, each `[batch, tokens, heads, width / heads]`."""
        _, tokens, width = x.shape
        packed = with_one_batch_dimension(self.project_in, x, 1)
        heads = (-1, tokens, 3, self.heads, width // self.heads)
        query, key, value = keras.ops.unstack(keras.ops.reshape(packed, heads), axis=2)
        # Here, since Keras would round a scale to float32.
        return [query * (width // self.heads) ** -0.5, key, value]
