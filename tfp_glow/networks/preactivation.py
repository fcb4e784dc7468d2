"""The residual function of pre-activation networks on images."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_glow.core.checks import check_bool, check_positive_int, check_sizes
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.lowered_conv import LoweredConv2D

__all__ = ["MOMENTUM", "PreactivationConvs"]

# Of batch normalization's statistics; with Keras' 0.99 those of a deep network lag behind it.
MOMENTUM = 0.9


@keras.saving.register_keras_serializable("tfp_glow")
class PreactivationConvs(ConfiguredLayer):
    """Convolutions, each after batch normalization and ReLU: the F of y = x + F(x).

        h_0 = x,   h_i = conv_i(relu(normalize_i(h_{i-1})))

    Args:
      filters: Channels that each convolution gives.
      kernel_sizes: Side of the kernel of each.
      strides: Stride of the first.
      zero_last: Whether the last convolution starts at zero, so that y = x + F(x) starts as the
        identity.
      seed: Seed of the initial weights, He's normal ones.
      dtype: Keras dtype or policy; Keras' own default when omitted.
      name: Name of the layer.

    Call with `[batch, H, W, C]`; returns `[batch, H / strides, W / strides, filters[-1]]`.

    Raises:
      ValueError, TypeError: If a size is no positive int, or there are not as many kernels as
        filters.

    Example:

        bottleneck = PreactivationConvs((16, 16, 64), kernel_sizes=(1, 3, 1))

    References:
      He, Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027.
      Goyal et al., "Accurate, Large Minibatch SGD", arXiv:1706.02677, section 5.1, for the start.
    """

    def __init__(
        self,
        filters: Sequence[int],
        *,
        kernel_sizes: Sequence[int] = (3, 3),
        strides: int = 1,
        zero_last: bool = True,
        seed: int | None = None,
        dtype=None,
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        check_sizes(filters, "filters")
        check_sizes(kernel_sizes, "kernel_sizes")
        check_positive_int(strides, "strides")
        check_bool(zero_last, "zero_last")
        if len(filters) != len(kernel_sizes):
            raise ValueError(
                f"kernel_sizes must have one size for each of filters={tuple(filters)}. "
                f"Received: {tuple(kernel_sizes)}."
            )
        seeds = independent_seeds(seed, len(filters))
        last = len(filters) - 1
        self.normalizations = [
            keras.layers.BatchNormalization(momentum=MOMENTUM, dtype=self.dtype_policy)
            for _ in filters
        ]
        self.convs = [
            LoweredConv2D(
                channels,
                kernel,
                strides=strides if index == 0 else 1,
                padding="same",
                data_format="channels_last",
                use_bias=index == last,  # Normalization would take the others away.
                kernel_initializer="zeros"
                if zero_last and index == last
                else keras.initializers.HeNormal(seed),
                dtype=self.dtype_policy,
            )
            for index, (channels, kernel, seed) in enumerate(
                zip(filters, kernel_sizes, seeds, strict=True)
            )
        ]

    def build(self, input_shape):
        for normalize, conv in zip(self.normalizations, self.convs, strict=True):
            normalize.build(input_shape)
            conv.build(input_shape)
            input_shape = conv.compute_output_shape(input_shape)

    def call(self, x):
        for normalize, conv in zip(self.normalizations, self.convs, strict=True):
            x = conv(keras.ops.relu(normalize(x)))
        return x

    def compute_output_shape(self, input_shape):
        for conv in self.convs:
            input_shape = conv.compute_output_shape(input_shape)
        return input_shape
