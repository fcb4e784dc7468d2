"""i-RevNet."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow_probability as tfp

from tfp_glow.bijectors import Chain, Squeeze
from tfp_glow.classifiers.classifier import Classifier
from tfp_glow.classifiers.ingredients import check_common, logits_of_maps
from tfp_glow.classifiers.zero_channels import ZeroChannels
from tfp_glow.core.arguments import bound_arguments
from tfp_glow.core.checks import check_bool, check_positive_int, check_sizes
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.flows.ingredients import event_size, seeds_from
from tfp_glow.layers import Bijective, Reversible
from tfp_glow.networks import PreactivationConvs

__all__ = ["IRevNet", "irevnet"]

tfb = tfp.bijectors


@keras.saving.register_keras_serializable("tfp_glow")
class IRevNet(Classifier):
    """The model that `irevnet` returns, with the maps from images to features and back.

    The arguments are those of `irevnet`.
    """

    def __new__(cls, *args, **kwargs):
        model = super().__new__(cls, *args, **kwargs)
        model.__dict__["_arguments"] = bound_arguments(cls, args, kwargs)
        return model

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        *,
        units: Sequence[int] = (6, 6, 6),
        strides: Sequence[int] = (2, 2, 2),
        added_channels: int = 0,
        bottleneck: int = 4,
        store_activations: bool = False,
        seed: int | None = None,
        network_dtype: str | None = None,
        name: str = "irevnet",
    ):
        image_shape = check_common(image_shape, num_classes, seed, network_dtype)
        check_positive_int(bottleneck, "bottleneck")
        check_bool(store_activations, "store_activations")
        shapes = _stage_shapes(image_shape, units, strides, added_channels)
        seeds = seeds_from(seed)
        stages = [ZeroChannels(added_channels)] if added_channels else []
        for stage, (count, stride, shape) in enumerate(zip(units, strides, shapes, strict=True)):
            if stride > 1:
                stages.append(Bijective(Squeeze(stride), name=f"squeeze_{stage}"))
            f, g = (_network(shape[-1] // 2, bottleneck, next(seeds), network_dtype) for _ in "fg")
            options = {"depth": count, "store_activations": store_activations}
            stages.append(Reversible(f, g, **options, name=f"stage_{stage}"))
        x = inputs = keras.Input(image_shape)
        for stage in stages:
            x = stage(x)
        logits = logits_of_maps(x, num_classes, next(seeds), network_dtype)
        super().__init__(inputs=inputs, outputs=logits, name=name)
        # Keras has them in its graph already.
        self.__dict__.update(_stages=stages, _image_shape=image_shape, _feature_shape=shapes[-1])

    def get_config(self) -> dict:
        return dict(self._arguments)

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> IRevNet:
        return cls(**config)

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """The shape `(h, w, c)` of an image's features."""
        return self._feature_shape

    def features(self, images):
        """The last stage's output `[batch, h, w, c]`, out of training."""
        x = keras.ops.convert_to_tensor(images, "float32")
        for stage in self._stages:
            x = stage(x, training=False) if isinstance(stage, Reversible) else stage(x)
        return x

    def invert(self, features):
        """The images `[batch, H, W, C]` that have these features."""
        x = keras.ops.convert_to_tensor(features, "float32")
        for stage in reversed(self._stages):
            x = stage.invert(x)
        return x

    def flow(self) -> Flow:
        """The bijective network as a flow from a standard normal, with the model's own weights.

        Its volume is 1 everywhere; the latents are the features, flat.

        Raises:
          ValueError: If the network has `added_channels`, so that it is injective alone.
        """
        if isinstance(self._stages[0], ZeroChannels):
            raise ValueError("added_channels must be 0 for a flow, which maps onto all features.")
        size = event_size(self._image_shape)
        flat = tfb.Reshape(list(self._feature_shape), [size])
        bijector = Chain([*(stage.bijector for stage in self._stages), flat])
        return Flow(standard_normal(size), bijector, name=self.name)


def irevnet(image_shape: Sequence[int], num_classes: int, **options) -> IRevNet:
    """A classifier that keeps all of an image up to its last projection.

    Stages of units on halves x = (x1, x2) of the channels,

        y1 = x1 + f(x2),   y2 = x2 + g(y1),

    with f and g bottlenecks of three 3x3 convolutions after batch normalization and ReLU. Where
    other networks pool, `Squeeze` folds patches into channels, so that nothing is lost:
    `model.features(x)` is undone by `model.invert(features)`. Logits are read off the features'
    mean over all positions, after normalization and ReLU. A unit is two blocks of the paper, whose
    halves take turns.

    Args:
      image_shape: `(H, W, C)`.
      num_classes: Number of classes.
      **options:
        units: Units of each stage.
        strides: Side of the patches that each stage folds first; 1 for none.
        added_channels: Channels of zeros behind the image's own, with which the network is
          injective, as the paper's (a), and wider. With none it is bijective, as (b), and
          `model.flow()` is its density.
        bottleneck: Channels of a half for one within its networks.
        store_activations: Whether to store what all units compute, as in any Keras model.
        seed: Seed of all initial weights.
        network_dtype: Keras dtype or policy of f and g; Keras' default when omitted. What is added
          up stays in float32.
        name: Name of the model.

    Returns:
      An `IRevNet`, a `keras.Model` from images `[batch, H, W, C]` to logits `[batch, num_classes]`
      with the methods `features`, `invert` and `flow`.

    Raises:
      ValueError, TypeError: If an argument is out of its range, or a stage's channels are odd.

    Example:

        model = irevnet((32, 32, 3), 10, units=(9, 9, 9), seed=0)
        images = model.invert(model.features(images))

    References:
      Jacobsen, Smeulders and Oyallon, "i-RevNet: Deep Invertible Networks", arXiv:1802.07088.
    """
    return IRevNet(image_shape, num_classes, **options)


def _network(half: int, bottleneck: int, seed: int, dtype: str | None) -> PreactivationConvs:
    narrow = max(half // bottleneck, 1)
    return PreactivationConvs(
        (narrow, narrow, half), kernel_sizes=(3, 3, 3), seed=seed, dtype=dtype
    )


def _stage_shapes(image_shape: tuple, units, strides, added_channels: int) -> list[tuple]:
    """The shape within each stage."""
    check_sizes(units, "units")
    check_sizes(strides, "strides")
    if added_channels:
        check_positive_int(added_channels, "added_channels")
    if len(units) != len(strides):
        raise ValueError(
            f"strides must hold one number for each of units={tuple(units)}. "
            f"Received: {tuple(strides)}."
        )
    height, width, channels = image_shape
    shapes, channels = [], channels + added_channels
    for stage, stride in enumerate(strides):
        if height % stride or width % stride:
            raise ValueError(
                f"strides must divide the images of {height} x {width} at stage {stage}. "
                f"Received: {stride}."
            )
        height, width, channels = height // stride, width // stride, channels * stride**2
        if channels % 2:
            raise ValueError(
                "strides or added_channels must make the channels of each stage even. "
                f"Received: {channels} channels at stage {stage}."
            )
        shapes.append((height, width, channels))
    return shapes
