"""A stack of reversible units as a Keras layer."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from tfp_glow.bijectors import Repeat, ReversibleUnit
from tfp_glow.core.checks import check_bool, check_positive_int
from tfp_glow.core.compat import layers_inside, outside_of_traces
from tfp_glow.layers.encoding import EncodingLayer

__all__ = ["Reversible"]


@keras.saving.register_keras_serializable("tfp_glow")
class Reversible(EncodingLayer):
    """`depth` reversible units, whose memory in training does not grow with the depth.

    With the channels in halves x = (x1, x2), each unit computes

        y1 = x1 + f(x2),   y2 = x2 + g(y1)

    with networks f and g of its own. Nothing is stored for the gradient: backwards, x2 = y2 - g(y1)
    and x1 = y1 - f(x2) rebuild the inputs, for one more evaluation of each network. The units are
    run in one loop, so that graph and compilation do not grow with the depth either.

    f and g may be any Keras layers from one half to the shape of the other. Batch normalization
    updates its statistics once a step, and dropout draws the same numbers when a network is
    evaluated again. Gradients equal those of the stored network up to rounding.

    Args:
      f: A Keras layer that is not built yet. Each unit has a copy of it, whose seeds, where it
        has some, follow from its own and from the unit's place.
      g: The same.
      depth: Number of units.
      store_activations: Whether to store what the networks computed, as Keras does. Values and
        gradients are the same.
      dtype: dtype of the values x and y, float32 or float64, whatever f and g compute in.
      trainable: Whether the weights are trained; batch normalization is frozen with them.
      name: Name of the layer.

    Call with `[batch, ..., 2 * half]`, vectors, tokens or images; returns the same shape.
    `invert(y)` gives x back, out of training.

    Raises:
      TypeError: If `f` or `g` is no Keras layer.
      ValueError: If one is built already or changes the shape, the channels cannot be halved, or a
        network holds a regularizer of activations, which could not leave the loop.

    Example:

        f = keras.Sequential([keras.layers.LayerNormalization(), keras.layers.Dense(32)])
        g = keras.Sequential([keras.layers.Dense(64, "gelu"), keras.layers.Dense(32)])
        y = Reversible(f, g, depth=12)(keras.Input([64]))

    References:
      Gomez, Ren, Urtasun and Grosse, "The Reversible Residual Network: Backpropagation Without
      Storing Activations", arXiv:1707.04585.
    """

    _networks: Sequence[keras.layers.Layer] = ()  # Those that run, of the loop's template.

    def __init__(
        self,
        f: keras.layers.Layer,
        g: keras.layers.Layer,
        *,
        depth: int,
        store_activations: bool = False,
        dtype: str = "float32",
        trainable: bool = True,
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        check_positive_int(depth, "depth")
        check_bool(store_activations, "store_activations")
        for argument, network in (("f", f), ("g", g)):
            _check_unbuilt(network, argument)
        # They are patterns of networks, and no parts themselves.
        self.__dict__["_patterns"] = {"f": f, "g": g}
        self._depth, self._store_activations = depth, store_activations
        self.trainable = trainable

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels is None or channels % 2:
            raise ValueError(
                f"{self.name} needs channels that can be halved. Received: shape {input_shape}."
            )
        half = (*input_shape[1:-1], channels // 2)
        places = iter(range(self._depth))

        def make_step():
            place = next(places)
            networks = [
                _network(pattern, argument, place, half)
                for argument, pattern in self._patterns.items()
            ]
            self.__dict__["_networks"] = self._networks or networks
            return ReversibleUnit(*networks, event_ndims=len(half), dtype=self.dtype)

        with outside_of_traces():
            self._hold(Repeat(make_step, self._depth, reversible=not self._store_activations))
        self.trainable = self.trainable  # For the networks, which exist now.

    @property
    def trainable(self) -> bool:
        """Whether the weights are trained."""
        return keras.layers.Layer.trainable.fget(self)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.layers.Layer.trainable.fset(self, value)
        for network in self._networks:
            network.trainable = value

    def get_config(self) -> dict:
        networks = {
            argument: keras.saving.serialize_keras_object(pattern)
            for argument, pattern in self._patterns.items()
        }
        return {
            **networks,
            "depth": self._depth,
            "store_activations": self._store_activations,
            "dtype": self.dtype,
            "trainable": self.trainable,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> Reversible:
        networks = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("f", "g")
        }
        return cls(**{**config, **networks})


def _check_unbuilt(network, argument: str) -> None:
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(f"{argument} must be a Keras layer. Received: {network!r}.")
    if network.built:
        raise ValueError(
            f"{argument} must not be built: each unit builds a copy with weights of its own. "
            f"Received: {network.name!r}, which is built. Leave out keras.Input."
        )


def _network(pattern: keras.layers.Layer, argument: str, place: int, half: tuple):
    """The built network of one unit."""
    network = type(pattern).from_config(_reseeded(pattern.get_config(), place))
    network.build((None, *half))
    shape = tuple(network.compute_output_shape((None, *half)))
    if shape != (None, *half):
        raise ValueError(
            f"{argument} must keep the shape of one half, {half}. Received: a network that gives "
            f"{shape[1:]}."
        )
    for layer in layers_inside(network):
        if layer.activity_regularizer is not None:
            raise ValueError(
                f"{argument} must have no activity_regularizer, which could not leave the loop "
                f"over the units. Received: one in {layer.name!r}."
            )
    return network


def _reseeded(config, place: int):
    """A configuration in which every seed that is given became another for each place."""
    if isinstance(config, list | tuple):
        return type(config)(_reseeded(item, place) for item in config)
    if not isinstance(config, dict):
        return config
    return {
        key: _seed_at(value, place)
        if key == "seed" and isinstance(value, int)
        else _reseeded(value, place)
        for key, value in config.items()
    }


def _seed_at(seed: int, place: int) -> int:
    return int(np.random.SeedSequence([seed, place]).generate_state(1)[0])
