"""A module whose attributes become its parts: variables, Keras networks, other modules."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfp_glow.core.compat import (
    declares_its_parameters,
    is_training,
    layers_inside,
    tracks_attributes,
    untracked,
)
from tfp_glow.core.freezing import Freezable
from tfp_glow.core.state import Stateful

__all__ = ["Holder"]


class Holder(Freezable):
    """Shows the variables of what it holds to `tf.Module`, which does not look into Keras layers.

    Keras layers and modules that are assigned to an attribute, alone or in a list, become parts.
    Lists come back as they were assigned. What stands in `__dict__` alone is no part.
    """

    _TF_MODULE_IGNORED_PROPERTIES = frozenset(
        {"_modules", "_networks"} | tf.Module._TF_MODULE_IGNORED_PROPERTIES
    )

    _NOT_COPIED = frozenset({"_network_variables"})

    def __new__(cls, *args, **kwargs):
        holder = super().__new__(cls)
        holder.__dict__.update(_keras_variables=[], _modules=[], _networks=[], _opaque=False)
        return holder

    def __setattr__(self, name: str, value) -> None:
        if not tracks_attributes(self):
            super().__setattr__(name, value)
            return
        self._check_hides_no_variable(name)
        items = list(value) if isinstance(value, list | tuple) else [value]
        modules = [item for item in items if isinstance(item, tf.Module)]
        kept_as_it_is = not modules and isinstance(
            value, list | tuple | dict | keras.layers.Layer | keras.Variable
        )
        super().__setattr__(name, untracked(self, value) if kept_as_it_is else value)
        self._modules.extend(modules)
        for item in items:
            if isinstance(item, keras.layers.Layer):
                self._hold_network(item)

    def _check_hides_no_variable(self, name: str) -> None:
        """What hid the `tf.Variable` on `_name` would keep it from training, and say nothing."""
        if any(self.__dict__.get(name) is v.value for v in self._keras_variables):
            raise ValueError(
                f"The attribute {name!r} must stay as it is: TFP finds the variable of that name "
                f"by it. Assign add_variable's result to another, as in self.{name[1:]} = "
                f"self.add_variable(..., name={name[1:]!r})."
            )

    def _hold_network(self, network: keras.layers.Layer) -> None:
        if not network.built:
            raise ValueError(
                f"network must be built before a bijector holds it. Received: {network.name!r}, "
                "which is not. Call it once on an input of the right shape, as in "
                "network(tf.zeros([1, size])), or call network.build(input_shape)."
            )
        self._networks.append(network)
        self._show_networks()

    def _show_networks(self) -> None:
        variables = [v.value for network in self._networks for v in network.variables]
        super().__setattr__("_network_variables", variables)

    def __deepcopy__(self, memo: dict) -> Holder:
        memo[id(self)] = holder = type(self).__new__(type(self))
        holder.__dict__.update(
            (name, copy.deepcopy(value, memo))
            for name, value in self.__dict__.items()
            if name not in self._NOT_COPIED
        )
        if self._networks:  # Keras copies a layer with variables of its own.
            holder._show_networks()
        return holder

    def add_variable(
        self,
        value,
        *,
        name: str,
        trainable: bool = True,
        dtype: str | None = None,
        aggregation: str = "none",
    ) -> keras.Variable:
        """Creates a `keras.Variable` whose `tf.Variable` hangs on the bijector as `_name`.

        Raises:
          ValueError: If the bijector has an attribute `_name` already.
        """
        if hasattr(self, f"_{name}"):
            raise ValueError(
                f"name must be one whose attribute '_{name}' is free. Received: {name!r}, and "
                f"{type(self).__name__} has that attribute."
            )
        variable = keras.Variable(
            value,
            dtype=dtype or self.dtype.name,
            trainable=trainable,
            autocast=False,
            aggregation=aggregation,
            name=name,
        )
        super().__setattr__(f"_{name}", variable.value)
        self._keras_variables.append(variable)
        return variable

    @property
    def keras_variables(self) -> tuple[keras.Variable, ...]:
        """Every `keras.Variable` inside, each once: own, of networks and of inner bijectors."""
        inner = (v for part in self._holders() for v in part.keras_variables)
        return tuple({id(v): v for v in (*self._own_keras_variables(), *inner)}.values())

    def own_keras_flags(self) -> dict[int, tuple[keras.Variable, ...]]:
        return {id(v.value): (v,) for v in self._own_keras_variables()}

    @property
    def changed_by_calls(self) -> tuple[keras.Variable, ...]:
        """Those that networks may change where they are called in training.

        The statistics of batch normalization, for instance, and the seeds of dropout. What is
        `Stateful` changes at its own moments alone.
        """
        networks = (n for n in self._networks if not isinstance(n, Stateful))
        own = [v for n in networks for v in n.non_trainable_variables]
        inner = (v for part in self._holders() for v in part.changed_by_calls)
        return tuple({id(v): v for v in (*own, *inner)}.values())

    def all_layers(self) -> Iterator[keras.layers.Layer]:
        """The Keras layers inside, each network and all that it is made of."""
        for network in self._networks:
            yield from layers_inside(network)
        for part in self._holders():
            yield from part.all_layers()

    def phase(self) -> tuple:
        """Whether Keras trains here and now, and which layers and variables are not frozen.

        Batch normalization that is frozen does in training what it does in evaluation.
        """
        parts = (*self.all_layers(), *self.keras_variables)
        return (is_training(), *(part.trainable for part in parts))

    def all_variables(self) -> Iterator[keras.Variable | tf.Variable]:
        """The Keras variables, and those that other modules inside hold."""
        yield from self._own_keras_variables()
        for module in self._modules:
            yield from module.all_variables() if isinstance(module, Holder) else module.variables

    @property
    def is_opaque(self) -> bool:
        """Whether a function inside may read variables that nobody can see."""
        return self._opaque or any(map(_is_opaque, self._modules))

    def _own_keras_variables(self) -> Iterator[keras.Variable]:
        """Those of this module and of its networks."""
        yield from self._keras_variables
        for network in self._networks:
            yield from network.variables

    def _holders(self) -> Iterator[Holder]:
        return (module for module in self._modules if isinstance(module, Holder))

    def _states(self) -> Iterator[Stateful]:
        parts = (*self._modules, *self._networks)
        return (part for part in parts if isinstance(part, Stateful))


def _is_opaque(module: tf.Module) -> bool:
    return module.is_opaque if isinstance(module, Holder) else not declares_its_parameters(module)
