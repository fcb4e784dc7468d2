"""Configurations: distributions and bijectors as plain data, and back.

A configuration holds constructor arguments alone. Reading one back builds classes of TFP and of
this package, and classes registered with Keras; it never runs code out of the file.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Container

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors, flows, laws
from tfp_glow.columns import Column
from tfp_glow.denoising import Noised
from tfp_glow.dequantization import Dequantized
from tfp_glow.flow import Flow
from tfp_glow.flows.recipe import options_elsewhere

__all__ = ["from_config", "to_config"]

_NAMESPACES = {
    "tfp_glow": {
        "Column": Column,
        "Dequantized": Dequantized,
        "Flow": Flow,
        "Noised": Noised,
    },
    "tfp_glow.bijectors": {name: getattr(bijectors, name) for name in bijectors.__all__},
    "tfp_glow.laws": {name: getattr(laws, name) for name in laws.__all__},
    "tfp.bijectors": vars(tfp.bijectors),
    "tfp.distributions": vars(tfp.distributions),
}
# Arguments of version 0.1.0, in files that it saved, and what has taken their place.
_OLD_NAMES = {"coupling": "law", "size": "channels", "validate_args": None}
# What its recipes meant, where its files have no such argument.
_OLD_DEFAULTS = {
    "base": "logistic",
    "degrees_from": 0,
    "dropout": 0.0,
    "law": "affine_exp",
    "marginal_bins": None,
    "reach": None,
}
_SCALARS = (type(None), bool, int, float, str)


def to_config(value, path: str = "distribution"):
    """The configuration of a distribution, a bijector or an argument of one.

    Args:
      value: What to describe.
      path: Where it stands, for errors.

    Raises:
      ValueError: If a part cannot be described; the message names it by its path.
    """
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, (tf.DType, tf.TensorShape)):
        return value.name if isinstance(value, tf.DType) else value.as_list()
    if isinstance(value, tf.Variable | keras.Variable):
        raise ValueError(_refusal(path, "a variable"))
    if isinstance(value, np.ndarray | np.generic) or tf.is_tensor(value):
        value = np.asarray(value)
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, list | tuple):
        return [to_config(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, keras.layers.Layer):
        return {"keras": _keras_config(value, path)}
    if isinstance(value, Flow) and value.recipe is not None:
        return _recipe_config(value.recipe, path)
    if isinstance(value, tfp.bijectors.Bijector | tfp.distributions.Distribution):
        return _class_config(value, path)
    if dataclasses.is_dataclass(value):  # A law, or a column.
        arguments = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _built_by(type(value), arguments, path)
    raise ValueError(_refusal(path, f"{value!r}"))


def from_config(config):
    """Builds what `to_config` described.

    Raises:
      ValueError: If the configuration names a class or a recipe that is not known here.
    """
    if isinstance(config, list):
        return [from_config(item) for item in config]
    if not isinstance(config, dict):
        return config
    if "array" in config:
        return np.asarray(config["array"], config["dtype"])
    if "keras" in config:
        return _built_keras_layer(config["keras"])
    arguments = {name: from_config(value) for name, value in config["arguments"].items()}
    if "recipe" in config:
        build = _known(flows.RECIPES, config["recipe"], "recipe")
        accepted = inspect.signature(build).parameters
        absent = {name: value for name, value in _OLD_DEFAULTS.items() if name in accepted}
        arguments = {**absent, **_renamed(arguments, accepted)}
        # Files of before have options of other events too, which did nothing.
        elsewhere = options_elsewhere(config["recipe"], arguments.get("event_shape"))
        return build(**{n: v for n, v in arguments.items() if n not in elsewhere})
    build = _constructor_named(config["class"])
    return build(**_renamed(arguments, inspect.signature(build).parameters))


def _renamed(arguments: dict, accepted: Container[str]) -> dict:
    """Arguments as they are called now, without those that there are no more."""
    names = {name: name if name in accepted else _OLD_NAMES.get(name, name) for name in arguments}
    return {names[name]: value for name, value in arguments.items() if names[name] is not None}


def _recipe_config(recipe: dict, path: str) -> dict:
    return {"recipe": recipe["name"], "arguments": _described(recipe["arguments"], path)}


def _class_config(value, path: str) -> dict:
    parameters = value.parameters
    if parameters is None:
        raise ValueError(_refusal(path, f"{type(value).__name__} without recorded parameters"))
    arguments = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter is not value and name != "parameters" and name != "kwargs_split_fn"
    }
    return _built_by(type(value), arguments, path)


def _built_by(cls: type, arguments: dict, path: str) -> dict:
    described = _described(arguments, path)
    return {"class": _class_name(cls, path), "arguments": described}


def _described(arguments: dict, path: str) -> dict:
    return {name: to_config(value, f"{path}.{name}") for name, value in arguments.items()}


def _class_name(cls: type, path: str) -> str:
    for namespace, names in _NAMESPACES.items():
        public = cls.__name__.lstrip("_")
        if isinstance(names.get(public), type) and issubclass(names[public], cls):
            return f"{namespace}>{public}"
    registered = keras.saving.get_registered_name(cls)
    if keras.saving.get_registered_object(registered) is cls:
        return f"keras>{registered}"
    raise ValueError(
        _refusal(path, f"the class {cls.__name__}")
        + " Register the class with keras.saving.register_keras_serializable."
    )


def _constructor_named(name: str) -> Callable:
    namespace, _, public = name.partition(">")
    if namespace == "keras":
        cls = keras.saving.get_registered_object(public)
        if cls is None:
            raise ValueError(f"The class {public!r} is not registered with Keras here.")
        return cls
    found = _known(_known(_NAMESPACES, namespace, "namespace"), public, "class")
    # Of ours, functions stand for classes too.
    if not isinstance(found, type) and namespace != "tfp_glow.bijectors":
        raise ValueError(f"The configuration names {name!r}, which is no class.")
    return found


def _known(names: dict, name: str, what: str):
    if name not in names:
        raise ValueError(f"The configuration names the {what} {name!r}, which is not known here.")
    return names[name]


def _keras_config(layer, path: str) -> dict:
    try:
        config = keras.saving.serialize_keras_object(layer)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(_refusal(path, f"the layer {layer.name!r} ({error})")) from error
    if "__lambda__" in repr(config):
        raise ValueError(_refusal(path, f"a lambda in the layer {layer.name!r}"))
    return config


def _built_keras_layer(config: dict):
    layer = keras.saving.deserialize_keras_object(config, safe_mode=True)
    if not layer.built and config.get("build_config"):
        layer.build_from_config(config["build_config"])
    return layer


def _refusal(path: str, received: str) -> str:
    return (
        f"{path} cannot be described by a configuration, so that the model cannot be saved whole. "
        f"Received: {received}. Save its weights with save_weights, or build the flow with a "
        "function of tfp_glow.flows."
    )
