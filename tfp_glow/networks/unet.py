"""A small U-Net for vector fields on images."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int, check_sizes
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.core.shapes import with_one_batch_dimension
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.normalization import GroupNorm

__all__ = ["UNet"]

# Frequencies by which the network sees times.
FREQUENCIES = 16


@keras.saving.register_keras_serializable("tfp_glow")
class UNet(ConfiguredLayer):
    """Residual blocks on an image and its halvings, down and up again, that know the time.

        h_0 = block(conv(x)),   h_l = block(pool(h_{l-1}))            l = 1 .. levels - 1
        g_{levels-1} = h_{levels-1},   g_l = block(upsample(g_{l+1}), h_l),   y = conv(g_0)

    A block is two 3x3 convolutions behind group normalization and swish, with the embedded
    condition added between them. The last convolution starts at zero. All of it is smooth, as
    paths along it ask for.

    Args:
      outputs: Channels of the output.
      hidden_channels: Channels at the first level, doubled at each further one; a multiple of 4.
      levels: Number of levels.
      inputs: `(H, W, C)` of the input; builds the network. H and W must be divisible by
        2**(levels - 1).
      condition_size: Size of the condition, whose first value is a time from 0 to 1.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with the list of `[..., H, W, C]` and the condition `[..., condition_size]`. Returns
    `[..., H, W, outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int, or does not divide as it must.

    Example:

        network = UNet(1, hidden_channels=16, inputs=(8, 8, 1), seed=0)
        network([tf.zeros([3, 8, 8, 1]), tf.zeros([3, 1])])     # [3, 8, 8, 1]

    References:
      Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
      Segmentation", arXiv:1505.04597.
      Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, for the
      blocks and the time.
    """

    def __init__(
        self,
        outputs: int,
        *,
        hidden_channels: int = 32,
        levels: int = 2,
        inputs: tuple[int, int, int],
        condition_size: int = 1,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        _check_sizes(outputs, hidden_channels, levels, inputs, condition_size)
        seeds = iter(independent_seeds(seed, 64))
        embedding, widths = 4 * hidden_channels, [hidden_channels << n for n in range(levels)]
        options = {"embedding": embedding, "dtype": self.dtype_policy}
        self.embed = [
            keras.layers.Dense(
                embedding, "swish", kernel_initializer=_normal(next(seeds)), dtype=self.dtype_policy
            )
            for _ in range(2)
        ]
        self.first = _convolution(hidden_channels, next(seeds), self.dtype_policy)
        self.down = [
            _Block(width, inputs=widths[max(level - 1, 0)], seed=next(seeds), **options)
            for level, width in enumerate(widths)
        ]
        self.up = [
            _Block(width, inputs=3 * width, seed=next(seeds), **options)
            for width in reversed(widths[:-1])
        ]
        self.norm = GroupNorm(4, dtype=self.dtype_policy)
        self.last = keras.layers.Conv2D(
            outputs,
            3,
            padding="same",
            data_format="channels_last",
            kernel_initializer="zeros",
            dtype=self.dtype_policy,
        )
        for layer, size in zip(self.embed, (condition_size + FREQUENCIES, embedding), strict=True):
            layer.build((None, size))
        self.first.build((None, None, None, inputs[-1]))
        for layer in (self.norm, self.last):
            layer.build((None, None, None, hidden_channels))
        self.built = True

    def call(self, inputs):
        return with_one_batch_dimension(self._on_batch, inputs[0], 3, inputs[1])

    def _on_batch(self, inputs):
        x, condition = (tf.cast(value, self.compute_dtype) for value in inputs)
        embedded = _with_waves(condition)
        for layer in self.embed:
            embedded = layer(embedded)
        hidden, kept = self.down[0](self.first(x), embedded), []
        for block in self.down[1:]:
            kept.append(hidden)
            hidden = block(tf.nn.avg_pool2d(hidden, 2, 2, "VALID"), embedded)
        for block in self.up:
            hidden = block(tf.concat([_upsampled(hidden), kept.pop()], -1), embedded)
        return self.last(tf.nn.silu(self.norm(hidden)))


class _Block(keras.layers.Layer):
    """h + conv(swish(norm(conv(swish(norm(h))) + embedded))), h brought to its channels."""

    def __init__(self, channels: int, *, inputs: int, embedding: int, seed: int, dtype):
        super().__init__(dtype=dtype)
        seeds = independent_seeds(seed, 4)
        self.norms = [GroupNorm(4, dtype=dtype) for _ in range(2)]
        self.convolutions = [_convolution(channels, seed, dtype) for seed in seeds[:2]]
        self.embed = keras.layers.Dense(channels, kernel_initializer=_normal(seeds[2]), dtype=dtype)
        self.shortcut = keras.layers.Dense(
            channels, kernel_initializer=_normal(seeds[3]), dtype=dtype
        )
        for norm, convolution, size in zip(
            self.norms, self.convolutions, (inputs, channels), strict=True
        ):
            norm.build((None, None, None, size))
            convolution.build((None, None, None, size))
        self.embed.build((None, embedding))
        self.shortcut.build((None, None, None, inputs))
        self.built = True

    def call(self, x, embedded):
        hidden = self.convolutions[0](tf.nn.silu(self.norms[0](x)))
        hidden += self.embed(embedded)[:, tf.newaxis, tf.newaxis]
        return self.shortcut(x) + self.convolutions[1](tf.nn.silu(self.norms[1](hidden)))


def _convolution(channels: int, seed: int, dtype) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        channels,
        3,
        padding="same",
        data_format="channels_last",
        kernel_initializer=_normal(seed),
        dtype=dtype,
    )


def _normal(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.LecunNormal(seed=seed)


def _with_waves(condition):
    """The condition, and cosines of its first value, the time."""
    frequencies = np.pi * np.arange(1, FREQUENCIES + 1)
    waves = tf.cos(condition[:, :1] * tf.constant(frequencies, condition.dtype))
    return tf.concat([condition, waves], -1)


def _upsampled(x):
    """Every value four times, in a square."""
    height, width, channels = x.shape[1:]
    repeated = x[:, :, tf.newaxis, :, tf.newaxis] * tf.ones([1, 1, 2, 1, 2, 1], x.dtype)
    return tf.reshape(repeated, [-1, 2 * height, 2 * width, channels])


def _check_sizes(outputs, hidden_channels, levels, inputs, condition_size) -> None:
    check_positive_int(outputs, "outputs")
    check_positive_int(levels, "levels")
    check_positive_int(condition_size, "condition_size")
    if check_positive_int(hidden_channels, "hidden_channels") % 4:
        raise ValueError(f"hidden_channels must be a multiple of 4. Received: {hidden_channels}.")
    height, width, _ = check_sizes(inputs, "inputs")
    if height % 2 ** (levels - 1) or width % 2 ** (levels - 1):
        raise ValueError(
            f"inputs must have sides divisible by {2 ** (levels - 1)}. Received: {tuple(inputs)} "
            f"with levels={levels}."
        )
