"""What is frozen as Keras freezes layers and variables."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

__all__ = ["Freezable", "keras_flags", "trained_variables"]


class Freezable(tf.Module):
    """A module that a Keras layer or variable inside with `trainable = False` freezes in part.

    A `tf.Variable` cannot be frozen, nor does it know the Keras variable that shares its storage.
    """

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The trainable variables that are not frozen."""
        return _not_frozen(super().trainable_variables, self)

    def own_keras_flags(self) -> dict[int, tuple[keras.Variable, ...]]:
        """The Keras variables of which each can freeze a `tf.Variable` held here, by its id."""
        return {}


def trained_variables(module: tf.Module) -> tuple[tf.Variable, ...]:
    """The trainable variables of any module but what is frozen."""
    return _not_frozen(module.trainable_variables, module)


def keras_flags(*modules: tf.Module) -> dict[int, tuple[keras.Variable, ...]]:
    """`own_keras_flags` of modules and of all inside."""
    parts = {id(part): part for module in modules for part in (module, *module.submodules)}
    flags = {}
    for part in parts.values():
        if isinstance(part, Freezable):
            flags |= part.own_keras_flags()
    return flags


def _not_frozen(variables: Iterable[tf.Variable], module: tf.Module) -> tuple[tf.Variable, ...]:
    flags = keras_flags(module)
    return tuple(v for v in variables if all(f.trainable for f in flags.get(id(v), ())))
