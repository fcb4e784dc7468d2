"""The convolutional network of Glow's couplings, and the layers it is made of."""

from __future__ import annotations

import functools

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.networks.lowering import convolve
from tfp_glow.shapes import multiply_last, with_one_batch_dimension

__all__ = ["ActNormConv2D", "GlowNetwork", "ZeroConv2D"]

MIN_STD = 1e-6


class _PaddedConv2D(keras.layers.Layer):
    """A stride-1 convolution whose zero padding is visible through an indicator channel.

    The indicator is 1 on the padding and 0 inside. Being the same for all images, it is
    convolved once, into a map that is added to the output.
    """

    def __init__(self, filters: int, kernel_size: int, kernel_initializer, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.kernel_initializer = kernel_initializer

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
            shape=(self.filters,), initializer="zeros", name="log_scale"
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
        super().__init__(filters, kernel_size, initializer, **kwargs)

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
    """A convolution that starts at zero: (conv(x) + bias) * exp(3 log_scale)."""

    def __init__(self, filters: int, kernel_size: int, **kwargs):
        super().__init__(filters, kernel_size, keras.initializers.Zeros(), **kwargs)

    def call(self, x):
        return self._convolve(x, tf.exp(3.0 * tf.convert_to_tensor(self.log_scale)))


@keras.saving.register_keras_serializable("tfp_glow")
class GlowNetwork(keras.layers.Layer):
    """The coupling network of Glow: 3x3, 1x1 and 3x3 convolutions with ReLU between.

    The hidden convolutions start as N(0, 0.05) and are each followed by activation
    normalization, set from data by `initialize`. The last starts at zero, so that a
    coupling starts at its law's zero point. Zero padding carries an indicator channel. A
    condition vector enters through a dense layer, added to the first convolution's output.

    Args:
      channels: Channels of the output.
      hidden_channels: Channels of the two hidden layers.
      input_shape: `(H, W, C)` of the input; builds the network.
      condition_size: Size of the condition vector, or None for no condition.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy, such as `"mixed_bfloat16"`.
      name: Name of the layer.

    Call with `[..., H, W, C]`, or with the list of that and a condition `[..., condition_size]`.
    Returns `[..., H, W, channels]`.

    Raises:
      ValueError: If a size is not positive.

    Example:

        network = GlowNetwork(12, hidden_channels=64, input_shape=(16, 16, 6), seed=0)
        network(tf.zeros([8, 16, 16, 6]))     # [8, 16, 16, 12]

    References:
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039, section 5 and appendix B.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden_channels: int,
        input_shape: tuple[int, int, int],
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        for argument, value in (("channels", channels), ("hidden_channels", hidden_channels)):
            if value < 1:
                raise ValueError(f"{argument} must be at least 1. Received: {value}.")
        self._config = {
            "channels": channels,
            "hidden_channels": hidden_channels,
            "input_shape": tuple(input_shape),
            "condition_size": condition_size,
            "seed": seed,
        }
        first, second, third = np.random.SeedSequence(seed).generate_state(3).tolist()
        options = {"dtype": self.dtype_policy}
        self.first = ActNormConv2D(hidden_channels, 3, seed=first, name="first", **options)
        self.second = ActNormConv2D(hidden_channels, 1, seed=second, name="second", **options)
        self.last = ZeroConv2D(channels, 3, name="last", **options)
        self.embed = None
        if condition_size is not None:
            self.embed = keras.layers.Dense(
                hidden_channels,
                use_bias=False,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.05, seed=third),
                name="embed",
                **options,
            )
            self.embed.build((None, condition_size))
        self.first.build((None, *input_shape))
        self.second.build((None, *input_shape[:2], hidden_channels))
        self.last.build((None, *input_shape[:2], hidden_channels))
        # Saved, so that a flow knows after loading that its network was initialized.
        self.flag = self.add_weight(
            shape=(), initializer="zeros", dtype="bool", trainable=False, name="flag"
        )
        self.built = True

    def call(self, inputs):
        return self._run(inputs, self._convolutions)

    def initialize(self, inputs):
        """Sets the hidden layers' normalization from a batch; returns the network's output."""
        self.flag.assign(True)
        return self._run(inputs, self._initialize_convolutions)

    @property
    def initialized_flags(self) -> list[keras.Variable]:
        """The saved flag that tells whether `initialize` has run."""
        return [self.flag]

    def _run(self, inputs, function):
        x, condition = (inputs, None) if tf.is_tensor(inputs) else inputs
        return with_one_batch_dimension(function, x, 3, condition)

    def _convolutions(self, inputs):
        x, embedded = self._with_embedding(inputs)
        hidden = tf.nn.relu(self.first(x) + embedded)
        return self.last(tf.nn.relu(self.second(hidden)))

    def _initialize_convolutions(self, inputs):
        x, embedded = self._with_embedding(inputs)
        hidden = tf.nn.relu(self.first.initialize(x) + embedded)
        return self.last(tf.nn.relu(self.second.initialize(hidden)))

    def _with_embedding(self, inputs):
        if tf.is_tensor(inputs):
            return tf.cast(inputs, self.compute_dtype), tf.zeros([], self.compute_dtype)
        x, condition = (tf.cast(value, self.compute_dtype) for value in inputs)
        return x, self.embed(condition)[:, tf.newaxis, tf.newaxis, :]

    def get_config(self) -> dict:
        return {
            **self._config,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "name": self.name,
        }
