"""The activation of Residual Flows."""

from __future__ import annotations

import keras
import tensorflow as tf

__all__ = ["LipSwish"]


@keras.saving.register_keras_serializable("tfp_glow")
class LipSwish(keras.layers.Layer):
    """x sigmoid(beta x) / 1.1 with a learned beta > 0, whose slope is at most 1.

    References:
      Chen, Behrmann, Duvenaud and Jacobsen, "Residual Flows for Invertible Generative Modeling",
      arXiv:1906.02735, section 3.3.
    """

    def build(self, input_shape) -> None:
        # A sharper bend than the paper's 0.5 starts with: values behind layers of bounded norm are
        # small, and a soft bend leaves a network nearly linear on them for long.
        start = keras.initializers.Constant(2.0)
        self.raw_beta = self.add_weight(shape=(), initializer=start, name="raw_beta")

    def call(self, x):
        beta = tf.nn.softplus(tf.convert_to_tensor(self.raw_beta))
        return _lipswish(x, tf.cast(beta, x.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape


@tf.custom_gradient
def _lipswish(x, beta):
    """The activation, whose slope is computed once however often a series multiplies by it."""
    sigmoid = tf.sigmoid(beta * x) / 1.1
    curved = x * sigmoid * (1.0 - 1.1 * sigmoid)
    slope = sigmoid + beta * curved

    def gradient(upstream):
        return upstream * slope, tf.reduce_sum(upstream * x * curved)

    return x * sigmoid, gradient
