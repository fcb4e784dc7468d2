"""The causal transformer of an autoregressive flow over tokens."""

from __future__ import annotations

import keras

from tfp_glow.core.shapes import split_condition
from tfp_glow.networks.transformer import Transformer

__all__ = ["CausalTransformer"]


@keras.saving.register_keras_serializable("tfp_glow")
class CausalTransformer(Transformer):
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

    causal = True

    def call(self, inputs):
        x, condition = split_condition(inputs)
        start = keras.ops.zeros_like(x[:, :1, :1]) + self._constant(self.start)
        before = keras.ops.concatenate([start, self._embedded(x[:, :-1])], axis=1)
        return self._outputs(self._placed(before, self._constant(self.places), condition))

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
