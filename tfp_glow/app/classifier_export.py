"""Export of a classifier as a SavedModel."""

from __future__ import annotations

import os
from collections.abc import Callable

import keras
import tensorflow as tf

from tfp_glow.classifiers.irevnet import IRevNet
from tfp_glow.signatures import checked_signature, write_saved_model

__all__ = ["export_classifier"]


def export_classifier(model: keras.Sequential, path: str | os.PathLike) -> None:
    """Writes a SavedModel that TensorFlow alone loads and runs.

    | signature | inputs | outputs |
    | --- | --- | --- |
    | `classify` | `x`, integers `[batch, H, W, C]` | `logits`, `probabilities` `[batch, classes]` |
    | `features`, of an i-RevNet | `x` | `features` `[batch, h, w, c]` |
    | `invert`, of an i-RevNet | `features` | `x` |

    Args:
      model: What `of_integers` makes.
      path: Folder to write; it must not exist.

    Example:

        export_classifier(model, "saved_model")
        classify = tf.saved_model.load("saved_model").signatures["classify"]
        classes = tf.argmax(classify(x=tf.constant(images, tf.int32))["logits"], -1)
    """
    write_saved_model(_Exported(model), path)


class _Exported(tf.Module):
    """The functions with their input signatures."""

    def __init__(self, model: keras.Sequential):
        super().__init__()
        self._variables = [variable.value for variable in model.variables]
        # TensorFlow is shown the variables alone, for it would save Keras' own functions too.
        self.__dict__["_model"] = model

    def signatures(self) -> dict:
        """The traced functions by name."""
        x = tf.TensorSpec(self._model.input_shape, tf.int32, name="x")
        functions: dict[str, tuple[Callable, tf.TensorSpec]] = {"classify": (self._classify, x)}
        if isinstance(self._model.layers[1], IRevNet):
            shape = [None, *self._model.layers[1].feature_shape]
            features = tf.TensorSpec(shape, tf.float32, name="features")
            functions |= {"features": (self._features, x), "invert": (self._invert, features)}
        return {
            name: checked_signature(tf.autograph.experimental.do_not_convert(function), [spec])
            for name, (function, spec) in functions.items()
        }

    def _classify(self, x):
        logits = self._model(x, training=False)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def _features(self, x):
        standardize, network = self._model.layers
        return {"features": network.features(standardize(x))}

    def _invert(self, features):
        standardize, network = self._model.layers
        return {"x": standardize.invert(network.invert(features))}
