"""The convolutions of which coupling networks on images are made."""

from __future__ import annotations

import functools
import math

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_number
from tfp_glow.core.shapes import multiply_last
from tfp_glow.networks.lowering import convolve

__all__ = ["ActNormConv2D", "ZeroConv2D"]

MIN_STD = 1e-6


class _PaddedConv2D(keras.layers.Layer):
    """A stride-1 convolution whose zero padding is visible through an indicator channel.

    The indicator is 1 on the padding and 0 inside. Being the same for all images, it is
    convolved once, into a map that is added to the output.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        *,
        kernel_initializer,
        log_scale_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.kernel_initializer = kernel_initializer
        self.log_scale_initializer = log_scale_initializer

    def build(self, input_shape) -> None:
        size = (self.kernel_size, self.kernel_size)
        shape = (*size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(
            shape=shape, initializer=self.kernel_initializer, name="kernel"
        )
        self.edge_kernel = None
        if self.kernel_size > 1:
            self.edge_kernel = self.add_weight(
                shape=(*size, 1, self.filters), initializer="zeros", name="edge_kernel"
            )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        self.log_scale = self.add_weight(
            shape=(self.filters,), initializer=self.log_scale_initializer, name="log_scale"
        )

    def _convolve(self, x, scale):
        """(convolution(x) + bias) * scale, with the scale folded into the kernels."""
        scale = tf.cast(scale, x.dtype)
        kernel = tf.cast(self.kernel, x.dtype) * scale
        return convolve(x, kernel) + self._offset(x) * scale

    def _offset(self, x):
        bias = tf.cast(self.bias, x.dtype)
        if self.edge_kernel is None:
            return bias
        height, width = x.shape[1:3]
        taps = tf.constant(_padding_under_taps(height, width, self.kernel_size), x.dtype)
        edge_kernel = tf.reshape(tf.cast(self.edge_kernel, x.dtype), [-1, self.filters])
        return multiply_last(taps, edge_kernel) + bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict:
        sizes = {"filters": self.filters, "kernel_size": self.kernel_size}
        return {**super().get_config(), **sizes}


@functools.cache
def _padding_under_taps(height: int, width: int, size: int) -> np.ndarray:
    """`[height, width, size * size]`: 1 where a kernel's tap lies on the padding, else 0."""
    pad = size // 2
    padded = np.pad(np.zeros([height, width]), pad, constant_values=1.0)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    return windows.reshape(height, width, size * size)


@keras.saving.register_keras_serializable("tfp_glow")
class ActNormConv2D(_PaddedConv2D):
    """A convolution followed by activation normalization: (conv(x) + bias) * exp(log_scale).

    `initialize` sets bias and scale so that every channel of the output has zero mean and
    unit standard deviation on the batch given.
    """

    def __init__(self, filters: int, kernel_size: int, *, seed: int | None = None, **kwargs):
        initializer = keras.initializers.RandomNormal(stddev=0.05, seed=seed)
        super().__init__(filters, kernel_size, kernel_initializer=initializer, **kwargs)

    def call(self, x):
        return self._convolve(x, tf.exp(self.log_scale))

    def initialize(self, x):
        y = self._convolve(x, tf.ones([self.filters])) - tf.cast(self.bias, x.dtype)
        mean, variance = tf.nn.moments(tf.cast(y, self.bias.dtype), axes=[0, 1, 2])
        std = tf.sqrt(variance)
        self.bias.assign(-mean)
        self.log_scale.assign(-tf.math.log(tf.where(std < MIN_STD, tf.ones_like(std), std)))
        return self(x)


@keras.saving.register_keras_serializable("tfp_glow")
class ZeroConv2D(_PaddedConv2D):
    """A convolution that starts at zero: (conv(x) + bias) * exp(3 log_scale).

    Args:
      filters: Channels of the output.
      kernel_size: Height and width of the kernel, odd.
      scale: exp(3 log_scale) at the start. Of many inputs a scale below 1 keeps the first steps
        of an optimizer such as Adam, which moves every weight by its rate however small its
        gradient is, from moving the output far.
    """

    def __init__(self, filters: int, kernel_size: int, *, scale: float = 1.0, **kwargs):
        self.scale = check_number(scale, "scale", above=0)
        initializers = {
            "kernel_initializer": keras.initializers.Zeros(),
            "log_scale_initializer": keras.initializers.Constant(math.log(scale) / 3.0),
        }
        super().__init__(filters, kernel_size, **initializers, **kwargs)

    def call(self, x):
        return self._convolve(x, tf.exp(3.0 * tf.convert_to_tensor(self.log_scale)))

    def get_config(self) -> dict:
        return {**super().get_config(), "scale": self.scale}
