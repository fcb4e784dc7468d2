"""The masked autoencoder, a network whose outputs each read only the inputs before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int, check_sizes
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.dropout import Dropout, Dropping
from tfp_glow.networks.incremental import ByDegree
from tfp_glow.networks.initial import uniform

__all__ = ["MADE"]


class MaskedDense(keras.layers.Layer):
    """A dense layer without the connections that a mask `[inputs, outputs]` leaves out."""

    def __init__(self, mask: np.ndarray, seeds: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self._mask, self._seeds = mask, seeds

    def build(self, input_shape) -> None:
        inputs, outputs = self._mask.shape
        self.kernel, self.bias = (
            self.add_weight(shape=shape, initializer=uniform(inputs, seed), name=name)
            for shape, seed, name in zip(
                ([inputs, outputs], [outputs]), self._seeds, ("kernel", "bias"), strict=True
            )
        )

    def call(self, x):
        mask = tf.constant(self._mask, x.dtype)
        return x @ (tf.cast(self.kernel, x.dtype) * mask) + tf.cast(self.bias, x.dtype)


@keras.saving.register_keras_serializable("tfp_glow")
class MADE(ConfiguredLayer, Dropping):
    """Dense layers, masked so that the parameters of x_d read only what comes before x_d.

    With degrees m of the units, a connection from a unit of degree m to one of degree n is
    left out unless m <= n, or m < n where it goes into an output. Inputs and outputs have the
    degrees 1 .. inputs, in the order asked for; a hidden layer's go through those from
    `degrees_from` to inputs - 1 in turn. Units of degree 0 read the condition alone, and give it
    to the first output.

    Args:
      inputs: Number of inputs, or a shape `(size,)`.
      outputs: Number of outputs, as many for each input; two for each when omitted. All inputs'
        first parameters come first, then all their second ones.
      hidden_units: Size of each hidden layer.
      residual: Whether the hidden layers after the first are residual blocks of two layers
        each; all of `hidden_units` must be equal.
      order: `"forward"` for x_1 first, `"reverse"` for the last one first, `"random"`, or for each
        input its place from 0.
      activation: A Keras activation that treats every unit by itself.
      dropout: Share of the hidden units that training drops, behind every activation; see `MLP`.
      condition_size: Size of the condition vector, which every hidden unit of the first
        layer reads, or None.
      degrees_from: The hidden units' lowest degree; when omitted 0 with a condition, and 1
        without one, where units of degree 0 would be constant. It was 0 in version 0.1.0.
      seed: Seed of the initial weights, of a random order and of what is dropped.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with `[..., size]`, or with the list of that and a condition `[..., condition_size]`
    whose leading dimensions broadcast. Returns `[..., outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int, the order is none of the inputs,
        `residual` is given layers of different sizes, the activation mixes units, as softmax
        does, or `dropout` is not in [0, 1).

    Example:

        network = MADE(4, hidden_units=(64, 64), order="reverse", seed=0)
        network(tf.zeros([8, 4]))     # [8, 8]

    References:
      Germain, Gregor, Murray and Larochelle, "MADE: Masked Autoencoder for Distribution
      Estimation", arXiv:1502.03509.
    """

    # Which `MaskedAutoregressive` need not find out.
    autoregressive_by_masks = True

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if "one_by_one" not in vars(cls):
            cls.one_by_one = None  # What a subclass computes is not known here.

    def __init__(
        self,
        inputs: int | Sequence[int],
        *,
        outputs: int | None = None,
        hidden_units: Sequence[int] = (64, 64),
        residual: bool = False,
        order: Literal["forward", "reverse", "random"] | Sequence[int] = "forward",
        activation: str = "relu",
        dropout: float = 0.0,
        condition_size: int | None = None,
        degrees_from: Literal[0, 1] | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        size = check_positive_int(inputs if isinstance(inputs, int) else inputs[0], "inputs")
        parameters = 2 if outputs is None else _parameters_of_each(outputs, size)
        _check_hidden(hidden_units, residual)
        self.activation = _elementwise(activation)
        self._size = size
        self._residual = residual
        layers = 2 * len(hidden_units) + 1
        seeds = independent_seeds(seed, 2 * layers + 2)
        self.dropout = Dropout(dropout, seed=seeds.pop(), dtype=self.dtype_policy)
        # The order is drawn from where version 0.1.0 drew it, so that its files keep theirs.
        order_seed = seeds.pop(layers)
        degrees = 1 + _places(order, size, order_seed)
        lowest = _lowest_degree(degrees_from, size, condition_size)
        self._build_layers(degrees, lowest, hidden_units, parameters, condition_size, seeds)
        self.built = True

    def _build_layers(
        self, degrees, lowest, hidden_units, parameters, condition_size, seeds
    ) -> None:
        inputs, self.hidden, hidden_degrees = degrees, [], []
        seeds = zip(seeds[::2], seeds[1::2], strict=True)
        repeats = [1, *[2 if self._residual else 1] * (len(hidden_units) - 1)]
        for units, repeat in zip(hidden_units, repeats, strict=True):
            for _ in range(repeat):
                hidden = lowest + np.arange(units) % (degrees.size - lowest)
                self.hidden.append(self._dense(inputs[:, None] <= hidden, next(seeds)))
                hidden_degrees.append(hidden)
                inputs = hidden
        self.last = self._dense(np.tile(inputs[:, None] < degrees, parameters), next(seeds))
        self.embed = None
        if condition_size is not None:
            self.embed = self._dense(np.ones([condition_size, hidden_units[0]]), next(seeds))
        # Of a residual block's two layers the second one is added.
        later = range(len(hidden_degrees) - 1)
        self._skips = [self._residual and index % 2 == 1 for index in later]
        self._by_degree = ByDegree(
            degrees, hidden_degrees, parameters=parameters, skips=self._skips
        )

    def _dense(self, mask: np.ndarray, seeds: Sequence[int]) -> MaskedDense:
        """A built layer."""
        layer = MaskedDense(mask.astype("float32"), seeds, dtype=self.dtype_policy)
        layer.build((None, mask.shape[0]))
        return layer

    def call(self, inputs):
        x, condition = split_condition(inputs)
        return with_one_batch_dimension(self._parameters, x, 1, condition)

    def _parameters(self, inputs):
        x, condition = split_condition(inputs)
        first, *rest = self.hidden
        hidden = first(x)
        if condition is not None:
            hidden += self.embed(condition)
        stream = hidden
        for index, (layer, skip) in enumerate(zip(rest, self._skips, strict=True)):
            hidden = layer(self.dropout(self.activation(hidden), index=index))
            if skip:
                hidden = stream = stream + hidden
        return self.last(self.dropout(self.activation(hidden), index=len(rest)))

    def one_by_one(self, choose: Callable, given, condition=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds inputs that depend on the outputs for them, at about the cost of one call.

        In the order of the inputs, `choose(given_d, outputs_d) -> (x_d, *two results)` says what
        input d is, all of shape `[batch, 1]` but the outputs `[batch, parameters]`, which are what
        the network gives for x_1 .. x_{d-1}.

        Args:
          choose: That function.
          given: `[..., size]`, what `choose` gets of each input.
          condition: `[..., condition_size]`, or None.

        Returns:
          The two results, `[..., size]`.

        Raises:
          ValueError: If `given` does not have as many values as the network has inputs.
        """
        if given.shape[-1] != self._size:
            raise ValueError(
                f"{self.name} has {self._size} inputs. Received: values of shape {given.shape}."
            )

        def run(inputs):
            given, condition = split_condition(inputs)
            layers = [*self.hidden, self.last]
            biases = [self._rounded(layer.bias) for layer in layers]
            if condition is not None:
                biases[0] += tf.cast(self.embed(condition), self.variable_dtype)
            return self._by_degree.run(
                choose,
                given,
                [self._rounded(layer.kernel) for layer in layers],
                biases,
                self._factors(tf.shape(given)[0]),
                activation=self.activation,
                compute_dtype=self.compute_dtype,
            )

        return with_one_batch_dimension(run, given, 1, condition)

    def _factors(self, batch) -> list:
        """What dropout multiplies the units of each hidden layer by; nothing where none drop."""
        if not self.dropout.drops:
            return []
        return [
            self.dropout.factors(tf.stack([batch, layer.bias.shape[0]]), index, self.compute_dtype)
            for index, layer in enumerate(self.hidden)
        ]

    def _rounded(self, weight: keras.Variable) -> tf.Tensor:
        """A weight as layers use it, in the dtype that it is kept in."""
        return tf.cast(tf.cast(weight, self.compute_dtype), self.variable_dtype)

    @classmethod
    def from_config(cls, config: dict) -> MADE:
        if "parameters" in config:  # As version 0.1.0 saved it.
            outputs = config["parameters"] * config["size"]
            config = {**config, "outputs": outputs, "degrees_from": 0}
            del config["parameters"]
        return super().from_config(config)


def _elementwise(activation) -> Callable:
    """The activation; raises where a unit's value depends on others, which no mask would see."""
    function, units = keras.activations.get(activation), tf.linspace(-2.0, 2.0, 6)
    with tf.init_scope():
        alone = function(units[:, tf.newaxis])[:, 0]
        if not np.allclose(alone, function(units[tf.newaxis])[0], atol=1e-5):
            raise ValueError(
                f"activation must treat every unit by itself. Received: {activation!r}."
            )
    return function


def _parameters_of_each(outputs: int, size: int) -> int:
    if check_positive_int(outputs, "outputs") % size:
        raise ValueError(f"outputs must be a multiple of the {size} inputs. Received: {outputs}.")
    return outputs // size


def _lowest_degree(degrees_from: int | None, size: int, condition_size: int | None) -> int:
    if degrees_from is None:
        return int(condition_size is None and size > 1)
    if type(degrees_from) is not int or degrees_from not in range(min(2, size)):
        raise ValueError(
            f"degrees_from must be 0, or 1 with more than one input. Received: {degrees_from!r}."
        )
    return degrees_from


def _check_hidden(hidden_units: Sequence[int], residual: bool) -> None:
    check_sizes(hidden_units, "hidden_units")
    if residual and len(set(hidden_units)) > 1:
        raise ValueError(
            f"hidden_units must all be equal with residual=True. Received: {tuple(hidden_units)}."
        )


def _places(order, size: int, seed: int) -> np.ndarray:
    """For each input its place from 0."""
    if isinstance(order, str):
        if order not in ("forward", "reverse", "random"):
            raise ValueError(
                "order must be 'forward', 'reverse', 'random' or a permutation. "
                f"Received: {order!r}."
            )
        generator = np.random.default_rng(seed)
        return {
            "forward": np.arange(size),
            "reverse": np.arange(size)[::-1],
            "random": generator.permutation(size),
        }[order]
    places = np.asarray(order)
    if places.shape != (size,) or not np.array_equal(np.sort(places), np.arange(size)):
        raise ValueError(
            f"order must hold each of 0 .. {size - 1} once. Received: {list(order)!r}."
        )
    return places
