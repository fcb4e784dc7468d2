"""Export of a variational autoencoder as a SavedModel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import tensorflow as tf

from tfp_glow.flow import Flow
from tfp_glow.signatures import (
    batch_spec,
    checked_signature,
    sampling_specs,
    write_saved_model,
)

if TYPE_CHECKING:
    from tfp_glow.inference.variational_autoencoder import VAE

__all__ = ["export_autoencoder"]


def export_autoencoder(model: VAE, path: str | os.PathLike) -> None:
    """Writes a SavedModel that TensorFlow alone loads and runs.

    | signature | inputs | output |
    | --- | --- | --- |
    | `encode` | `x` `[batch, *event]`, int32 where data are integers | `z` `[batch, size]` |
    | `decode` | `z` | `x`, as `VAE.decode` gives it |
    | `sample` | `num_samples`, `temperature`, `seed`, scalars | `x` `[num_samples, *event]` |

    A model whose prior is no `Flow` samples at temperature 1 only.

    Args:
      model: The model.
      path: Folder to write; it must not exist.

    Raises:
      ValueError: If `path` exists.

    Example:

        model.export_saved_model("saved_model")
        decode = tf.saved_model.load("saved_model").signatures["decode"]
        images = decode(z=tf.random.normal([4, 40]))["x"]
    """
    write_saved_model(_Exported(model), path)


class _Exported(tf.Module):
    """The three functions with their input signatures."""

    def __init__(self, model: VAE):
        super().__init__()
        self._variables = [variable.value for variable in model.weights]
        # TensorFlow is shown the variables alone, for it would save Keras' own functions too.
        self.__dict__["_model"] = model

    def signatures(self) -> dict:
        """The traced functions by name."""
        dtype = self._model.posterior.dtype
        of_data = dtype if self._model.num_bins is None else tf.int32
        x = batch_spec(self._model.event_shape, of_data, "x")
        z = batch_spec(self._model.posterior.event_shape, dtype, "z")
        functions = {
            "encode": (self._encode, [x]),
            "decode": (self._decode, [z]),
            "sample": (self._sample, sampling_specs()),
        }
        return {
            name: checked_signature(tf.autograph.experimental.do_not_convert(function), specs)
            for name, (function, specs) in functions.items()
        }

    def _encode(self, x):
        return {"z": self._model.encode(x)}

    def _decode(self, z):
        return {"x": self._model.decode(z)}

    def _sample(self, num_samples, temperature, seed):
        options = {"temperature": temperature} if isinstance(self._model.prior, Flow) else {}
        return {"x": self._model.sample(num_samples, seed=tf.stack([seed, 0]), **options)}
