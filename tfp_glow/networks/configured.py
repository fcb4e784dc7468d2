"""A Keras layer that is saved by what its constructor was called with."""

from __future__ import annotations

import keras
import numpy as np

from tfp_glow.core.arguments import bound_arguments

__all__ = ["ConfiguredLayer"]

# Arguments as version 0.1.0 called them, in files that it saved.
_OLD_NAMES = {"channels": "outputs", "input_shape": "inputs", "size": "inputs"}


class ConfiguredLayer(keras.layers.Layer):
    """A layer whose configuration is its constructor's arguments.

    Args:
      dtype: Keras dtype or policy.
      name: Name of the layer.
    """

    def __new__(cls, *args, **kwargs):
        layer = super().__new__(cls, *args, **kwargs)
        layer.__dict__["_arguments"] = bound_arguments(cls, args, kwargs)
        return layer

    def __init__(self, *, dtype, name: str | None):
        super().__init__(dtype=dtype, name=name)

    def get_config(self) -> dict:
        return {
            **{argument: _plain(value) for argument, value in self._arguments.items()},
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> ConfiguredLayer:
        return cls(**{_OLD_NAMES.get(name, name): value for name, value in config.items()})


def _plain(value):
    return list(map(_plain, value)) if isinstance(value, list | tuple | np.ndarray) else value
