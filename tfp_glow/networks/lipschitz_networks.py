"""Networks of Lipschitz constant below 1, for residual blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import keras
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.core.state import Stateful
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.lipschitz import LipschitzConv2D, LipschitzDense
from tfp_glow.networks.lipswish import LipSwish

__all__ = ["LipschitzConvNetwork", "LipschitzMLP"]

Activation = Literal["lipswish", "elu", "tanh", "softplus"]


class _LipschitzNetwork(ConfiguredLayer, Stateful):
    """Lipschitz layers, each behind an activation of slope at most 1.

    The first activation sees the input itself, whose scale is 1 behind ActNorm: behind a layer of
    bounded norm values are so small that a smooth activation is nearly linear on them.
    """

    def __init__(self, activation: Activation, *, dtype, name: str | None):
        super().__init__(dtype=dtype, name=name)
        if activation not in ("lipswish", "elu", "tanh", "softplus"):
            raise ValueError(
                "activation must be 'lipswish', 'elu', 'tanh' or 'softplus', whose slopes are at "
                f"most 1 and smooth. Received: {activation!r}."
            )
        self._activation = activation

    def _set_layers(self, layers: Sequence, input_shape, condition_size: int | None) -> None:
        """Builds the layers on one another, with activations of their own."""
        self.linear = list(layers)
        self.activations = [self._new_activation() for _ in self.linear]
        shape = (None, *input_shape)
        for layer in self.linear:
            layer.build(shape)
            shape = (*shape[:-1], layer.kernel.shape[-1])
        self.embed = None
        if condition_size is not None:
            units = self.linear[0].kernel.shape[-1]
            self.embed = keras.layers.Dense(units, use_bias=False, dtype=self.dtype_policy)
            self.embed.build((None, condition_size))
        self._event_ndims = len(input_shape)
        self.built = True

    def _new_activation(self) -> keras.layers.Layer:
        if self._activation != "lipswish":
            return keras.layers.Activation(self._activation, dtype=self.dtype_policy)
        layer = LipSwish(dtype=self.dtype_policy)
        layer.build(None)
        return layer

    def call(self, inputs):
        x, condition = split_condition(inputs)
        return with_one_batch_dimension(self._compute, x, self._event_ndims, condition)

    def _compute(self, inputs):
        x, condition = split_condition(inputs)
        first, *rest = zip(self.activations, self.linear, strict=True)
        hidden = _apply(first, x)
        if condition is not None:
            positions = [1] * (self._event_ndims - 1)
            embedded = self.embed(condition)
            hidden += tf.reshape(embedded, [-1, *positions, embedded.shape[-1]])
        for pair in rest:
            hidden = _apply(pair, hidden)
        return hidden

    @property
    def advances(self) -> bool:
        return True

    def advance(self) -> None:
        """One power iteration in every layer."""
        for layer in self.linear:
            layer.advance()

    def converge(self) -> None:
        """Power iterations in every layer until its norm stands still."""
        for layer in self.linear:
            layer.converge()

    def lipschitz_bound(self):
        """A bound of the network's Lipschitz constant: the product of its layers' norms."""
        return tf.reduce_prod([layer.scaled_norm() for layer in self.linear])


def _apply(pair: tuple, x):
    activation, layer = pair
    return layer(activation(x))


@keras.saving.register_keras_serializable("tfp_glow")
class LipschitzMLP(_LipschitzNetwork):
    """Dense layers of spectral norm at most `coefficient` each.

    Args:
      inputs: Size of the input and of the output.
      hidden_units: Size of each hidden layer.
      coefficient: Bound of every layer's norm, below 1.
      activation: `"lipswish"`, `"elu"`, `"tanh"` or `"softplus"`.
      condition_size: Size of a condition vector, in which no bound holds, or None.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with `[..., size]`, or with the list of that and a condition `[..., condition_size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        network = LipschitzMLP(2, hidden_units=(128, 128))
        network.lipschitz_bound()     # at most 0.9**3

    References:
      Chen, Behrmann, Duvenaud and Jacobsen, "Residual Flows for Invertible Generative Modeling",
      arXiv:1906.02735.
    """

    def __init__(
        self,
        inputs: int,
        *,
        hidden_units: Sequence[int] = (64, 64),
        coefficient: float = 0.9,
        activation: Activation = "lipswish",
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        check_positive_int(inputs, "inputs")
        super().__init__(activation, dtype=dtype, name=name)
        units = [*hidden_units, inputs]
        seeds = independent_seeds(seed, len(units))
        layers = [
            LipschitzDense(n, coefficient=coefficient, seed=layer_seed, dtype=self.dtype_policy)
            for n, layer_seed in zip(units, seeds, strict=True)
        ]
        self._set_layers(layers, (inputs,), condition_size)


@keras.saving.register_keras_serializable("tfp_glow")
class LipschitzConvNetwork(_LipschitzNetwork):
    """3x3, 1x1 and 3x3 convolutions of spectral norm at most `coefficient` each.

    Args:
      inputs: `(H, W, C)` of the input and of the output.
      hidden_channels: Channels of the two hidden layers.
      coefficient: Bound of every layer's norm, below 1.
      activation: `"lipswish"`, `"elu"`, `"tanh"` or `"softplus"`.
      condition_size: Size of a condition vector, in which no bound holds, or None.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with `[..., H, W, C]`, or with the list of that and a condition `[..., condition_size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        network = LipschitzConvNetwork((16, 16, 12), hidden_channels=128, coefficient=0.98)

    References:
      Chen, Behrmann, Duvenaud and Jacobsen, "Residual Flows for Invertible Generative Modeling",
      arXiv:1906.02735, appendix E.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        *,
        hidden_channels: int = 32,
        coefficient: float = 0.9,
        activation: Activation = "lipswish",
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        check_positive_int(hidden_channels, "hidden_channels")
        super().__init__(activation, dtype=dtype, name=name)
        sizes = [(hidden_channels, 3), (hidden_channels, 1), (inputs[-1], 3)]
        seeds = independent_seeds(seed, len(sizes))
        options = {"coefficient": coefficient, "dtype": self.dtype_policy}
        layers = [
            LipschitzConv2D(filters, kernel_size, seed=layer_seed, **options)
            for (filters, kernel_size), layer_seed in zip(sizes, seeds, strict=True)
        ]
        self._set_layers(layers, tuple(inputs), condition_size)
