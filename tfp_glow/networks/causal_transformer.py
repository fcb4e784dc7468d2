"""The causal transformer of an autoregressive flow over tokens."""

from __future__ import annotations

import keras
import numpy as np

from tfp_glow.core.checks import check_positive_int, check_seed, check_sizes
from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.networks.attention import SelfAttention
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.normalization import LayerNorm
from tfp_glow.networks.token_mlp import TokenMLP

__all__ = ["CausalTransformer"]


@keras.saving.register_keras_serializable("tfp_glow")
class CausalTransformer(ConfiguredLayer):
    """A transformer whose output at token t reads the tokens before t alone.

        h_t = embed(x_{t-1}) + place_t + embed(condition)     with a learned vector for x_{-1}
        h = h + attention(h), h = h + mlp(h)                  `layers` times
        output_t = dense(normalize(h_t))

    Outputs can be had for one token after the other, as sampling asks for them: `step` computes the
    keys and values of one token and keeps them for those that follow.

    Args:
      outputs: Size of the output for a token.
      width: Size of a token inside.
      layers: Number of layers of attention and MLP.
      heads: Heads of attention, a divisor of `width`.
      expansion: Hidden units of the MLPs as a multiple of `width`.
      inputs: `(tokens, channels)` of the input; builds the network.
      condition_size: Size of the condition vector, or None for no condition.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with `[batch, tokens, channels]`, or with the list of that and a condition
    `[batch, condition_size]`. Returns `[batch, tokens, outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int, or `heads` does not divide the width.

    Example:

        network = CausalTransformer(8, width=64, inputs=(49, 4), seed=0)
        network(tf.zeros([32, 49, 4]))     # [32, 49, 8]

    References:
      Vaswani et al., "Attention Is All You Need", arXiv:1706.03762.
      Zhai et al., "Normalizing Flows are Capable Generative Models", arXiv:2412.06329.
    """

    def __init__(
        self,
        outputs: int,
        *,
        width: int,
        layers: int = 2,
        heads: int = 4,
        expansion: int = 4,
        inputs: tuple[int, int],
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        for argument, value in (("outputs", outputs), ("width", width), ("layers", layers)):
            check_positive_int(value, argument)
        self.tokens, channels = check_sizes(inputs, "inputs")
        check_seed(seed)
        seeds = iter(np.random.SeedSequence(seed).generate_state(2 * layers + 5).tolist())
        self.start = self._vectors((width,), next(seeds), "start")
        self.places = self._vectors((self.tokens, width), next(seeds), "places")
        self.embed = self._dense(width, channels, next(seeds))
        self.embed_condition = None
        if condition_size is not None:
            self.embed_condition = self._dense(width, condition_size, next(seeds), use_bias=False)
        self.attentions, self.mlps = [], []
        for _ in range(layers):
            options = {"dtype": self.dtype_policy}
            attention = SelfAttention(heads, causal=True, seed=next(seeds), **options)
            self.attentions.append(self._built(attention, width))
            mlp = TokenMLP(expansion=expansion, seed=next(seeds), **options)
            self.mlps.append(self._built(mlp, width))
        normalize = LayerNorm(epsilon=1e-6, dtype=self.dtype_policy)
        self.normalize = self._built(normalize, width)
        # Small, so that a law starts near the identity, and not zero, so that all layers learn.
        self.out = self._dense(outputs, width, next(seeds), scale=0.01)
        self.built = True

    def call(self, inputs):
        x, condition = split_condition(inputs)
        start = keras.ops.zeros_like(x[:, :1, :1]) + self._constant(self.start)
        before = keras.ops.concatenate(
            [start, with_one_batch_dimension(self.embed, x[:, :-1], 1)], axis=1
        )
        hidden = self._placed(before, self._constant(self.places), condition)
        for attention, mlp in zip(self.attentions, self.mlps, strict=True):
            hidden = hidden + attention(hidden)
            hidden = hidden + mlp(hidden)
        return with_one_batch_dimension(self.out, self.normalize(hidden), 1)

    def empty_cache(self, batch) -> tuple:
        """What `step` remembers of no token; `batch` may be a scalar tensor."""
        return tuple(layer.empty_cache(batch, self.tokens) for layer in self.attentions)

    def step(self, previous, index, cache: tuple, condition=None) -> tuple:
        """The output at one token, from the token before it and what the cache holds of the others.

        Args:
          previous: `[batch, channels]`, the token before; of no meaning at index 0.
          index: The token's place, a scalar.
          cache: What the last step gave, or `empty_cache` at index 0.
          condition: `[batch, condition_size]`, where the network takes one.

        Returns:
          The output `[batch, outputs]`, equal to a call's at that place, and the new cache.
        """
        before = keras.ops.where(index == 0, self._constant(self.start), self.embed(previous))
        place = keras.ops.take(self._constant(self.places), index, axis=0)
        hidden, new = self._placed(before[:, None], place, condition), []
        for attention, mlp, of_layer in zip(self.attentions, self.mlps, cache, strict=True):
            change, of_layer = attention.step(hidden, of_layer, index)
            new.append(of_layer)
            hidden = hidden + change
            hidden = hidden + mlp(hidden)
        return self.out(self.normalize(hidden)[:, 0]), tuple(new)

    def _placed(self, before, places, condition):
        hidden = before + places
        if self.embed_condition is None:
            return hidden
        return hidden + self.embed_condition(condition)[:, None]

    def _constant(self, weight):
        return keras.ops.cast(weight, self.compute_dtype)

    def _vectors(self, shape: tuple[int, ...], seed: int, name: str):
        initializer = keras.initializers.RandomNormal(stddev=0.02, seed=seed)
        return self.add_weight(shape, initializer, name=name)

    def _dense(
        self, units: int, inputs: int, seed: int, *, scale: float = 1.0, use_bias: bool = True
    ) -> keras.layers.Dense:
        initializer = keras.initializers.VarianceScaling(scale, "fan_avg", "uniform", seed)
        layer = keras.layers.Dense(
            units, use_bias=use_bias, kernel_initializer=initializer, dtype=self.dtype_policy
        )
        return self._built(layer, inputs)

    def _built(self, layer: keras.layers.Layer, inputs: int) -> keras.layers.Layer:
        layer.build((None, self.tokens, inputs))
        return layer
