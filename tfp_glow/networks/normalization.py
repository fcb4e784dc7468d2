"""Normalization layers whose derivatives are right beyond the first.

Keras' take mean and variance from `tf.nn.moments`, which holds the mean in the variance constant:
the first derivative does not see that, all others do. Training by a log-det that is made of first
derivatives of a network, as that of a continuous flow, needs the second.
"""

from __future__ import annotations

import keras
import tensorflow as tf

__all__ = ["GroupNorm", "LayerNorm"]


@keras.saving.register_keras_serializable("tfp_glow")
class LayerNorm(keras.layers.LayerNormalization):
    """Layer normalization over the channels, `keras.layers.LayerNormalization` otherwise.

        y = gamma (x - mean(x)) / sqrt(var(x) + epsilon) + beta

    Call with `[..., channels]`; returns the same shape.

    References:
      Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450.
    """

    def call(self, x):
        return _scaled(self, _standardized(_exact(x), [-1], self.epsilon))


@keras.saving.register_keras_serializable("tfp_glow")
class GroupNorm(keras.layers.GroupNormalization):
    """Group normalization of images, `keras.layers.GroupNormalization` otherwise.

    As `LayerNorm`, over all positions and the channels of a group.

    Call with `[batch, H, W, channels]`; returns the same shape.

    References:
      Wu and He, "Group Normalization", arXiv:1803.08494.
    """

    def call(self, x):
        *positions, channels = x.shape[1:]
        groups = tf.reshape(_exact(x), [-1, *positions, self.groups, channels // self.groups])
        standardized = _standardized(groups, [1, 2, 4], self.epsilon)
        return _scaled(self, tf.reshape(standardized, [-1, *positions, channels]))


def _exact(x):
    """In float32 at least, as Keras normalizes."""
    return tf.cast(x, keras.backend.result_type(x.dtype, "float32"))


def _standardized(x, axes: list[int], epsilon: float):
    centred = x - tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axes, keepdims=True)
    return centred * tf.math.rsqrt(variance + epsilon)


def _scaled(layer: keras.layers.Layer, x):
    y = x * tf.cast(layer.gamma, x.dtype) + tf.cast(layer.beta, x.dtype)
    return tf.cast(y, layer.compute_dtype)
