"""RevNet."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_glow.classifiers.classifier import Classifier
from tfp_glow.classifiers.downsampling_unit import DownsamplingUnit
from tfp_glow.classifiers.ingredients import check_common, logits_of_maps, unit_network
from tfp_glow.core.checks import check_bool, check_sizes
from tfp_glow.flows.ingredients import seeds_from
from tfp_glow.layers import Reversible

__all__ = ["revnet"]


def revnet(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    units: Sequence[int] = (3, 3, 3),
    filters: Sequence[int] = (32, 32, 64, 112),
    bottleneck: bool = False,
    store_activations: bool = False,
    seed: int | None = None,
    network_dtype: str | None = None,
    name: str = "revnet",
) -> Classifier:
    """A residual network whose activations are rebuilt, not stored, within its stages.

    A 3x3 convolution, then stages of units on halves x = (x1, x2) of the channels,

        y1 = x1 + f(x2),   y2 = x2 + g(y1),

    with f and g of two 3x3 convolutions, or a bottleneck of three, each after batch normalization
    and ReLU. Each stage but the first begins with a unit that halves the resolution. That one and
    the first convolution are stored for the gradient; the others of a stage are one `Reversible`
    loop, whose memory does not grow with their number. Logits are read off the mean over all
    positions. With `units=(3, 3, 3)` it is RevNet-38.

    Args:
      image_shape: `(H, W, C)`.
      num_classes: Number of classes.
      units: Units of each stage, that between stages included.
      filters: Channels after the first convolution and in each stage, all even and never fewer.
      bottleneck: Whether f and g are 1x1, 3x3 and 1x1 convolutions, the first two of a quarter of
        the channels.
      store_activations: Whether to store what all units compute, as in any Keras model. Values and
        gradients are the same.
      seed: Seed of all initial weights.
      network_dtype: Keras dtype or policy of f and g, such as `"mixed_bfloat16"`; Keras' default
        when omitted. What is added up stays in float32.
      name: Name of the model.

    Returns:
      A `Classifier`, a `keras.Model` from images `[batch, H, W, C]`, best of mean 0 and deviation
      1, to logits `[batch, num_classes]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        model = revnet((32, 32, 3), 10, seed=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
        model.fit(images, labels, batch_size=100)

    References:
      Gomez, Ren, Urtasun and Grosse, "The Reversible Residual Network: Backpropagation Without
      Storing Activations", arXiv:1707.04585.
    """
    image_shape = check_common(image_shape, num_classes, seed, network_dtype)
    _check_stages(units, filters)
    check_bool(bottleneck, "bottleneck")
    seeds = seeds_from(seed)

    inputs = keras.Input(image_shape)
    stem = keras.initializers.HeNormal(next(seeds))
    x = keras.layers.Conv2D(
        filters[0],
        3,
        padding="same",
        data_format="channels_last",
        kernel_initializer=stem,
        dtype=network_dtype,
        name="stem",
    )(inputs)
    for stage, (count, before, after) in enumerate(zip(units, filters, filters[1:], strict=False)):
        strides = 2 if stage else 1
        if strides > 1 or before != after:
            x = DownsamplingUnit(
                after,
                strides=strides,
                bottleneck=bottleneck,
                seed=next(seeds),
                network_dtype=network_dtype,
            )(x)
            count -= 1
        if count:
            f, g = (
                unit_network(after // 2, bottleneck, seed=next(seeds), dtype=network_dtype)
                for _ in "fg"
            )
            name_of_stage = f"stage_{stage}"
            x = Reversible(
                f, g, depth=count, store_activations=store_activations, name=name_of_stage
            )(x)
    return Classifier(inputs, logits_of_maps(x, num_classes, next(seeds), network_dtype), name=name)


def _check_stages(units: Sequence[int], filters: Sequence[int]) -> None:
    check_sizes(units, "units")
    check_sizes(filters, "filters")
    if len(filters) != len(units) + 1:
        raise ValueError(
            f"filters must hold one number more than units={tuple(units)}, that of the first "
            f"convolution. Received: {tuple(filters)}."
        )
    if any(channels % 2 for channels in filters):
        raise ValueError(f"filters must be even, to be halved. Received: {tuple(filters)}.")
    if list(filters) != sorted(filters):
        raise ValueError(f"filters must never become fewer. Received: {tuple(filters)}.")
