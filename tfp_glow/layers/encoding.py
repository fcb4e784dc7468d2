"""What the layers around bijectors have in common."""

from __future__ import annotations

import keras
import tensorflow_probability as tfp

from tfp_glow.core.compat import View
from tfp_glow.core.holder import Holder
from tfp_glow.core.passes import FORWARD, INVERSE

__all__ = ["EncodingLayer"]

tfb = tfp.bijectors


class EncodingLayer(keras.layers.Layer):
    """A layer that encodes by a bijector, which a subclass hands to `_hold`.

    Values are computed in the bijector's dtype whatever Keras' policy is, since in half precision
    they could not be rebuilt.
    """

    def _hold(self, bijector: tfb.Bijector) -> None:
        # Keras is shown the variables, not the bijector, in which it would find networks whose
        # variables stand for those of one step of a loop at a time.
        self.__dict__["_bijector"] = bijector
        keras_variables = bijector.keras_variables if isinstance(bijector, Holder) else ()
        known = {id(v.value): v for v in keras_variables}
        self.held = [known[id(v)] if id(v) in known else View(v) for v in bijector.variables]

    @property
    def bijector(self) -> tfb.Bijector:
        """The bijector; `inverse` is what the layer computes."""
        return self._bijector

    def call(self, inputs):
        return INVERSE(self.bijector, inputs)[0]

    def invert(self, outputs):
        """The inputs that give these outputs, out of training."""
        return FORWARD(self.bijector, keras.ops.convert_to_tensor(outputs, self.dtype))[0]

    def compute_output_shape(self, input_shape):
        ndims = self.bijector.inverse_min_event_ndims
        shape = self.bijector.inverse_event_shape(input_shape[-ndims:])
        return (*input_shape[:-ndims], *shape)
