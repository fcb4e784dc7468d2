"""The usual classifiers in Keras, of the sizes of the reversible ones."""

from __future__ import annotations

import keras

from tfp_glow.classifiers.patch_embedding import PatchEmbedding

__all__ = ["resnet", "vit"]


def resnet(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    units: tuple[int, ...] = (5, 5, 5),
    filters: tuple[int, ...] = (8, 8, 18, 31),
    seed: int = 0,
) -> keras.Model:
    """A pre-activation ResNet, y = x + f(x), whose stages halve the resolution.

    With five units a stage it has about the parameters of a RevNet of three and twice the filters.
    """
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(image_shape)
    x = _conv(filters[0])(inputs)
    for stage, (count, channels) in enumerate(zip(units, filters[1:], strict=True)):
        for unit in range(count):
            x = _residual_unit(x, channels, strides=2 if stage and not unit else 1)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(x))


def vit(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    patch_size: int = 4,
    depth: int,
    width: int,
    heads: int,
    seed: int = 0,
) -> keras.Model:
    """A vision transformer without a class token: the mean of all tokens is read."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(image_shape)
    x = PatchEmbedding(patch_size, width, seed=seed)(inputs)  # As in the reversible one.
    for _ in range(depth):
        attend = keras.layers.MultiHeadAttention(heads, width // heads)
        normalized = keras.layers.LayerNormalization(epsilon=1e-6)(x)
        x = x + attend(normalized, normalized)
        hidden = keras.layers.Dense(4 * width, "gelu")(
            keras.layers.LayerNormalization(epsilon=1e-6)(x)
        )
        x = x + keras.layers.Dense(width)(hidden)
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, keras.layers.Dense(num_classes)(x))


def _residual_unit(x, channels: int, *, strides: int):
    shortcut = x
    if strides > 1:
        shortcut = keras.layers.AveragePooling2D(strides, padding="same")(x)
    if channels > x.shape[-1]:
        added = [[0, 0], [0, 0], [0, 0], [0, channels - x.shape[-1]]]
        shortcut = keras.ops.pad(shortcut, added)
    for its_strides in (strides, 1):
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = _conv(channels, its_strides)(x)
    return shortcut + x


def _conv(channels: int, strides: int = 1) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        channels, 3, strides=strides, padding="same", kernel_initializer="he_normal"
    )
