"""A vision transformer as a coupling network."""

from __future__ import annotations

import keras

from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.networks.transformer import Transformer

__all__ = ["ViT"]


@keras.saving.register_keras_serializable("tfp_glow")
class ViT(Transformer):
    """A transformer from tokens to tokens, every one of which reads all the others.

        h_t = embed(x_t) + place_t + embed(condition)
        h = h + attention(h), h = h + mlp(h)                  `layers` times
        output_t = dense(normalize(h_t))

    Args:
      outputs: Size of an output token.
      inputs: `(tokens, channels)` of the input.
      width: Size of a token inside.
      layers: Number of layers.
      heads: Heads of attention, a divisor of `width`.
      expansion: Hidden units of the MLPs as a multiple of `width`.
      condition_size: Size of a condition vector, which is added to all tokens, or None.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with `[..., tokens, channels]`, or with the list of that and a condition
    `[..., condition_size]`. Returns `[..., tokens, outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int, or `heads` does not divide `width`.

    Example:

        network = ViT(8, inputs=(16, 4), width=64, layers=2, heads=4, seed=0)
        network(tf.zeros([8, 16, 4]))     # [8, 16, 8]

    References:
      Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929.
      Kolesnikov, Pinto and Tschannen, "Jet: A Modern Transformer-Based Normalizing Flow",
      arXiv:2412.15129.
    """

    causal = False

    def call(self, inputs):
        x, condition = split_condition(inputs)
        return with_one_batch_dimension(self._of_batch, x, 2, condition)

    def _of_batch(self, inputs):
        x, condition = split_condition(inputs)
        hidden = self._placed(self._embedded(x), self._constant(self.places), condition)
        return self._outputs(hidden)
