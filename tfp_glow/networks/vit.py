"""A vision transformer as a coupling network."""

from __future__ import annotations

import keras
import numpy as np

from tfp_glow.core.checks import check_positive_int, check_seed, check_sizes
from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.networks.attention import SelfAttention
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.initial import uniform
from tfp_glow.networks.normalization import LayerNorm
from tfp_glow.networks.token_mlp import TokenMLP

__all__ = ["ViT"]


@keras.saving.register_keras_serializable("tfp_glow")
class ViT(ConfiguredLayer):
    """A transformer from tokens to tokens, every one of which reads all the others.

        h = x U + places + condition V
        h = h + attention(h);   h = h + mlp(h)        in each layer
        output = normalize(h) W

    Args:
      outputs: Size of an output token.
      inputs: `(tokens, channels)` of the input.
      width: Size of a token inside.
      layers: Number of layers.
      heads: Heads of attention, a divisor of `width`.
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

    def __init__(
        self,
        outputs: int,
        *,
        inputs: tuple[int, int],
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        for argument, value in (("outputs", outputs), ("width", width), ("layers", layers)):
            check_positive_int(value, argument)
        check_sizes(inputs, "inputs")
        check_seed(seed)
        tokens, channels = inputs
        seeds = iter(np.random.SeedSequence(seed).generate_state(4 + 2 * layers).tolist())
        self.embed = self._dense(width, channels, next(seeds))
        self.last = self._dense(outputs, width, next(seeds))
        initializer = keras.initializers.RandomNormal(stddev=0.02, seed=next(seeds))
        self.places = self.add_weight((tokens, width), initializer, name="places")
        self.condition, condition_seed = None, next(seeds)
        if condition_size is not None:
            self.condition = self._dense(width, condition_size, condition_seed)
        policy, shape = self.dtype_policy, (None, tokens, width)
        self.parts = [
            part
            for _ in range(layers)
            for part in (
                SelfAttention(heads, seed=next(seeds), dtype=policy),
                TokenMLP(seed=next(seeds), dtype=policy),
            )
        ]
        self.normalize = LayerNorm(epsilon=1e-6, dtype=policy)
        for layer in (*self.parts, self.normalize):
            layer.build(shape)
        self.built = True

    def call(self, inputs):
        x, condition = split_condition(inputs)
        return with_one_batch_dimension(self._tokens, x, 2, condition)

    def _tokens(self, inputs):
        x, condition = split_condition(inputs)
        hidden = self.embed(x) + keras.ops.cast(self.places, self.compute_dtype)
        if condition is not None:
            hidden += self.condition(condition)[:, None]
        for part in self.parts:
            hidden += part(hidden)
        return self.last(self.normalize(hidden))

    def _dense(self, units: int, inputs: int, seed: int) -> keras.layers.Dense:
        """A built dense layer."""
        layer = keras.layers.Dense(
            units, kernel_initializer=uniform(inputs, seed), dtype=self.dtype_policy
        )
        layer.build((None, inputs))
        return layer
