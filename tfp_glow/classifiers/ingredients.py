"""What the classifiers share."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_glow.core.checks import check_dtype_policy, check_positive_int, check_seed
from tfp_glow.flows.ingredients import check_image
from tfp_glow.networks import PreactivationConvs
from tfp_glow.networks.preactivation import MOMENTUM

__all__ = ["check_common", "logits_of_maps", "logits_of_vectors", "unit_network"]


def check_common(
    image_shape: Sequence[int], num_classes: int, seed: int | None, network_dtype: str | None
) -> tuple[int, int, int]:
    """The image shape as a tuple; raises where an argument is not what it must be."""
    check_image(image_shape, levels=1, halvings=0, argument="image_shape")
    check_positive_int(num_classes, "num_classes", least=2)
    check_seed(seed)
    check_dtype_policy(network_dtype, "network_dtype")
    return tuple(image_shape)


def unit_network(
    channels: int, bottleneck: bool, *, seed: int, strides: int = 1, dtype: str | None = None
) -> PreactivationConvs:
    """A RevNet unit's f or g: two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1 ones.

    None starts at zero: a RevNet that starts as the identity learns more slowly.
    """
    filters, kernels = (channels, channels), (3, 3)
    if bottleneck:
        narrow = max(channels // 4, 1)
        filters, kernels = (narrow, narrow, channels), (1, 3, 1)
    return PreactivationConvs(
        filters, kernel_sizes=kernels, strides=strides, zero_last=False, seed=seed, dtype=dtype
    )


def logits_of_maps(x, num_classes: int, seed: int, network_dtype: str | None):
    """Normalization, ReLU and the mean over all positions, before the dense layer."""
    x = keras.layers.BatchNormalization(
        momentum=MOMENTUM, dtype=network_dtype, name="head_normalization"
    )(x)
    mean = keras.layers.GlobalAveragePooling2D(data_format="channels_last", dtype=network_dtype)
    return logits_of_vectors(mean(keras.layers.ReLU()(x)), num_classes, seed)


def logits_of_vectors(x, num_classes: int, seed: int):
    """The last layer, in float32 whatever the networks compute in."""
    initializer = keras.initializers.GlorotUniform(seed)
    dense = keras.layers.Dense(
        num_classes, kernel_initializer=initializer, dtype="float32", name="logits"
    )
    return dense(x)
