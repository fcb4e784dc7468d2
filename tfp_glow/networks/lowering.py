"""One convolution, written in the form that its backend runs fastest."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core.backend import backend
from tfp_glow.core.shapes import multiply_last

__all__ = ["convolve"]

# Outputs of up to this share of the input's channels make the shifted products pay on a CPU.
NARROW = 0.4


def convolve(x, kernel):
    """A zero-padded stride-1 convolution: `[B, H, W, in]` with `[k, k, in, out]`, k odd.

    Accelerators run the convolution itself. On a CPU, a 1x1 convolution is a matrix product, and
    so is a wide layer's convolution to few channels: one product for all taps, whose maps are
    then shifted and added. Inside a compiled loop XLA's CPU backend runs the gradients of
    convolutions hundredfold slower than products, so there every convolution is a product.
    """
    size, _, inputs, outputs = kernel.shape
    place = backend()
    if place == "accelerator":
        return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
    if size == 1:
        return multiply_last(x, kernel[0, 0])
    if outputs <= NARROW * inputs or (place == "cpu_xla" and outputs <= inputs):
        return _shifted_products(x, kernel)
    if place == "cpu_xla":
        return multiply_last(_patches(x, size), tf.reshape(kernel, [size * size * inputs, outputs]))
    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


def _shifted_products(x, kernel):
    """Every tap's product at every position, shifted to where the tap points, and added."""
    size, _, inputs, outputs = kernel.shape
    taps = tf.reshape(tf.transpose(kernel, [2, 0, 1, 3]), [inputs, size * size * outputs])
    return _add_shifted(multiply_last(x, taps), size)


def _add_shifted(products, size: int):
    """Adds up `[B, H, W, size * size * C]`, tap by tap, each shifted to where it points."""

    @tf.custom_gradient
    def add(products):
        padded, channels = _pad(products, size), products.shape[-1] // size**2
        total = tf.add_n(
            [
                _window(padded, products, tap, size, slice(tap * channels, (tap + 1) * channels))
                for tap in range(size * size)
            ]
        )

        def gradient(upstream):
            # Each tap's gradient is the upstream one shifted back: a patch, read backwards.
            # TensorFlow's own would write a padded tensor for every tap.
            return _patches(upstream, size, backwards=True)

        return total, gradient

    return add(products)


def _patches(x, size: int, *, backwards: bool = False):
    """`[B, H, W, size * size * C]`: each position's neighbourhood."""
    padded, taps = _pad(x, size), range(size * size)
    order = reversed(taps) if backwards else taps
    return tf.concat([_window(padded, x, tap, size) for tap in order], -1)


def _window(padded, x, tap: int, size: int, channels: slice = slice(None)):
    row, column = divmod(tap, size)
    height, width = x.shape[1:3]
    return padded[:, row : row + height, column : column + width, channels]


def _pad(x, size: int):
    pad = size // 2
    return tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
