"""What transformers over tokens have in common."""

from __future__ import annotations

import keras

from tfp_glow.core.checks import check_positive_int, check_sizes
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.core.shapes import with_one_batch_dimension
from tfp_glow.networks.attention import SelfAttention
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.normalization import LayerNorm
from tfp_glow.networks.token_mlp import TokenMLP

__all__ = ["Transformer"]


class Transformer(ConfiguredLayer):
    """Layers of attention and MLP over tokens at their places, and a dense layer to the outputs.

    A subclass says in `causal` whether tokens attend to none behind them, and writes `call`. Dense
    layers are called on rows; see `TokenNetwork`. The arguments are those of the subclasses.
    """

    causal: bool

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
        seeds = iter(independent_seeds(seed, 2 * layers + 5))
        self.start = self._vectors((width,), next(seeds), "start") if self.causal else None
        self.places = self._vectors((self.tokens, width), next(seeds), "places")
        self.embed = self._dense(width, channels, next(seeds))
        self.embed_condition = None
        if condition_size is not None:
            self.embed_condition = self._dense(width, condition_size, next(seeds), use_bias=False)
        self.attentions, self.mlps = [], []
        for _ in range(layers):
            options = {"dtype": self.dtype_policy}
            attention = SelfAttention(heads, causal=self.causal, seed=next(seeds), **options)
            self.attentions.append(self._built(attention, width))
            mlp = TokenMLP(expansion=expansion, seed=next(seeds), **options)
            self.mlps.append(self._built(mlp, width))
        normalize = LayerNorm(epsilon=1e-6, dtype=self.dtype_policy)
        self.normalize = self._built(normalize, width)
        # Small, so that a law starts near the identity, and not zero, so that all layers learn.
        self.out = self._dense(outputs, width, next(seeds), scale=0.01)
        self.built = True

    def _outputs(self, hidden):
        """The outputs of all tokens, from what the layers read."""
        for attention, mlp in zip(self.attentions, self.mlps, strict=True):
            hidden = hidden + attention(hidden)
            hidden = hidden + mlp(hidden)
        return with_one_batch_dimension(self.out, self.normalize(hidden), 1)

    def _embedded(self, x):
        return with_one_batch_dimension(self.embed, x, 1)

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
