"""The coupling network of WaveGlow."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int, check_sizes
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.networks.configured import ConfiguredLayer

__all__ = ["WaveNet"]


@keras.saving.register_keras_serializable("tfp_glow")
class WaveNet(ConfiguredLayer):
    """Gated dilated convolutions over time, with residual and skip connections.

        h_0 = first(x),   (r_i, s_i) = mix_i(tanh(a_i) sigmoid(b_i)),   (a_i, b_i) = conv_i(h_i)
        h_{i+1} = h_i + r_i,   y = last(s_0 + ... + s_n)

    conv_i has three taps, 2**i apart, and sees both sides, beyond whose ends are zeros; where 2**i
    would reach past the sequence, the dilations start again from 1. first, mix and last act on each
    time alone; last starts at zero. A condition vector is added to (a_i, b_i). The weights are not
    normalized, as WaveGlow's are.

    Args:
      outputs: Channels of the output.
      hidden_channels: Channels within.
      layers: Number of dilated convolutions.
      inputs: `(T, C)` of the input; builds the network.
      condition_size: Size of the condition vector, or None for no condition.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy, such as `"mixed_bfloat16"`.
      name: Name of the layer.

    Call with `[..., T, C]`, or with the list of that and a condition `[..., condition_size]`.
    Returns `[..., T, outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int.

    Example:

        network = WaveNet(4, hidden_channels=32, layers=5, inputs=(64, 2), seed=0)
        network(tf.zeros([8, 64, 2]))     # [8, 64, 4]

    References:
      Prenger, Valle and Catanzaro, "WaveGlow: A Flow-based Generative Network for Speech
      Synthesis", arXiv:1811.00002, section 2.1.
      Van den Oord et al., "WaveNet: A Generative Model for Raw Audio", arXiv:1609.03499.
    """

    def __init__(
        self,
        outputs: int,
        *,
        hidden_channels: int,
        layers: int,
        inputs: tuple[int, int],
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        for argument, value in (("outputs", outputs), ("hidden_channels", hidden_channels)):
            check_positive_int(value, argument)
        check_positive_int(layers, "layers")
        length, channels = check_sizes(inputs, "inputs")
        super().__init__(dtype=dtype, name=name)
        seeds = iter(independent_seeds(seed, 3 * layers + 1))
        wide = 2 * hidden_channels

        def dense(units: int, size: int, **kwargs) -> keras.layers.Dense:
            layer = keras.layers.Dense(units, dtype=self.dtype_policy, **kwargs)
            layer.build((None, size))
            return layer

        def random(units: int, size: int, **kwargs) -> keras.layers.Dense:
            initializer = keras.initializers.GlorotUniform(next(seeds))
            return dense(units, size, kernel_initializer=initializer, **kwargs)

        self.first = random(hidden_channels, channels)
        self.convolutions = [random(wide, 3 * hidden_channels) for _ in range(layers)]
        self.mixes = [random(wide, hidden_channels) for _ in range(layers)]
        self.embeddings = []
        if condition_size is not None:
            self.embeddings = [random(wide, condition_size, use_bias=False) for _ in range(layers)]
        self.last = dense(outputs, hidden_channels, kernel_initializer="zeros")
        cycle = max(1, (length - 1).bit_length())
        self.dilations = [2 ** (index % cycle) for index in range(layers)]
        self.built = True

    def call(self, inputs):
        x, condition = split_condition(inputs)
        return with_one_batch_dimension(self._apply, x, 2, condition)

    def _apply(self, inputs):
        x, condition = split_condition(inputs)
        hidden = _at_each_time(self.first, tf.cast(x, self.compute_dtype))
        skipped = 0.0
        for index, dilation in enumerate(self.dilations):
            gates = _at_each_time(self.convolutions[index], _taps(hidden, dilation))
            if self.embeddings:
                gates += self.embeddings[index](tf.cast(condition, gates.dtype))[:, tf.newaxis]
            a, b = tf.split(gates, 2, axis=-1)
            mixed = _at_each_time(self.mixes[index], tf.tanh(a) * tf.sigmoid(b))
            residual, skip = tf.split(mixed, 2, axis=-1)
            hidden, skipped = hidden + residual, skipped + skip
        return _at_each_time(self.last, skipped)


def _at_each_time(layer: keras.layers.Layer, value):
    """A dense layer on rows: XLA cannot compile its gradient on sequences in a loop otherwise."""
    return with_one_batch_dimension(layer, value, 1)


def _taps(x, dilation: int):
    """`[batch, T, 3 * C]`: each time with those `dilation` before and after it."""
    length = x.shape[1]
    padded = tf.pad(x, [[0, 0], [dilation, dilation], [0, 0]])
    return tf.concat([padded[:, start * dilation :][:, :length] for start in range(3)], -1)
