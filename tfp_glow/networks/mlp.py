"""A multilayer perceptron for couplings on vectors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfp_glow.core.checks import (
    check_hidden_units,
    check_positive_int,
    check_sizes,
)
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.dropout import Dropout, Dropping
from tfp_glow.networks.initial import uniform

__all__ = ["MLP"]


@keras.saving.register_keras_serializable("tfp_glow")
class MLP(ConfiguredLayer, Dropping):
    """Dense layers with an activation between them, behind which training may drop units.

    Args:
      outputs: Size of the output.
      hidden_units: Size of each hidden layer; none for an affine map.
      activation: A Keras activation.
      dropout: Share of the hidden units that training drops. Which ones is another draw after
        each `advance`, which `FlowModel` calls once a step; calls alone do not change it.
      inputs: `(size,)` of the input; builds the network.
      condition_size: Size of the condition vector, which is concatenated to the input, or None.
      seed: Seed of the initial weights, and of what is dropped.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with `[..., size]`, or with the list of that and a condition `[..., condition_size]`
    whose leading dimensions broadcast. Returns `[..., outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int, or `dropout` is not in [0, 1).

    Example:

        network = MLP(4, hidden_units=(64, 64), inputs=(2,), seed=0)
        network(tf.zeros([8, 2]))     # [8, 4]

    References:
      Hinton, Srivastava, Krizhevsky, Sutskever and Salakhutdinov, "Improving neural networks by
      preventing co-adaptation of feature detectors", arXiv:1207.0580 (dropout).
    """

    def __init__(
        self,
        outputs: int,
        *,
        hidden_units: Sequence[int] = (64, 64),
        activation: str = "relu",
        dropout: float = 0.0,
        inputs: tuple[int],
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        check_positive_int(outputs, "outputs")
        check_hidden_units(hidden_units)
        check_sizes(inputs, "inputs")
        widths = [inputs[-1] + (condition_size or 0), *hidden_units, outputs]
        seeds = iter(independent_seeds(seed, 2 * len(widths)))
        *self.hidden, self.last = (
            keras.layers.Dense(
                units,
                activation if layer < len(hidden_units) else None,
                kernel_initializer=uniform(size, next(seeds)),
                bias_initializer=uniform(size, next(seeds)),
                dtype=self.dtype_policy,
            )
            for layer, (size, units) in enumerate(itertools.pairwise(widths))
        )
        for layer, size in zip((*self.hidden, self.last), widths[:-1], strict=True):
            layer.build((None, size))
        self.dropout = Dropout(dropout, seed=next(seeds), dtype=self.dtype_policy)
        self.built = True

    def call(self, inputs):
        x, condition = split_condition(inputs)
        return with_one_batch_dimension(self._dense, x, 1, condition)

    def _dense(self, inputs):
        x = inputs if tf.is_tensor(inputs) else tf.concat(inputs, -1)
        for index, layer in enumerate(self.hidden):
            x = self.dropout(layer(x), index=index)
        return self.last(x)
