"""Helpers for the flat latents of image flows."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.wrapper import Wrapper
from tfp_glow.flow import Flow

__all__ = ["interpolate", "join_levels", "mix_levels", "split_levels"]


def split_levels(flow: Flow, z) -> list:
    """Splits latents `[..., D]` into the levels' parts `[..., h, w, c]`, finest first.

    Args:
      flow: A flow whose bijector is a `MultiScale`.
      z: Its latents.

    Raises:
      TypeError: If the flow has no levels.
      ValueError: If z has another size.

    Example:

        fine, coarse = split_levels(glow((8, 8, 1), levels=2), z)
    """
    shapes = _level_shapes(flow)
    sizes = [math.prod(shape) for shape in shapes]
    z = tf.convert_to_tensor(z)
    if z.shape[-1] != sum(sizes):
        raise ValueError(f"z must have {sum(sizes)} values. Received: shape {tuple(z.shape)}.")
    parts = tf.split(z, sizes, axis=-1)
    return [
        tf.reshape(part, tf.concat([tf.shape(z)[:-1], shape], 0))
        for part, shape in zip(parts, shapes, strict=True)
    ]


def join_levels(flow: Flow, parts) -> tf.Tensor:
    """Joins the levels' parts into flat latents: the inverse of `split_levels`."""
    shapes = _level_shapes(flow)
    if [tuple(part.shape[-3:]) for part in parts] != list(shapes):
        raise ValueError(
            f"parts must have shapes {list(shapes)}. "
            f"Received: {[tuple(part.shape) for part in parts]}."
        )
    flat = [
        tf.reshape(part, tf.concat([tf.shape(part)[:-3], [math.prod(shape)]], 0))
        for part, shape in zip(parts, shapes, strict=True)
    ]
    return tf.concat(flat, -1)


def interpolate(flow: Flow, start, end, *, steps: int = 8, condition=None):
    """Decodes `steps` latents on the straight line from one image to another.

    Args:
      flow: The flow.
      start: Image `[..., H, W, C]` in the flow's own range.
      end: Image of the same shape.
      steps: Number of images, both ends included.
      condition: What both images are conditioned on, where the flow takes a condition.

    Returns:
      Images `[steps, ..., H, W, C]`.

    Raises:
      ValueError: If `steps` is below 2, or the shapes differ.

    Example:

        frames = interpolate(flow, faces[0], faces[1], steps=10)
    """
    check_positive_int(steps, "steps", least=2)
    z_start, z_end = _encoded(flow, condition, start=start, end=end)
    weights = tf.constant(np.linspace(0.0, 1.0, steps), z_start.dtype)
    weights = tf.reshape(weights, [steps] + [1] * z_start.shape.rank)
    return flow.decode((1 - weights) * z_start + weights * z_end, condition)


def mix_levels(flow: Flow, fine, coarse, *, coarse_levels: int = 1, condition=None) -> tf.Tensor:
    """Decodes the coarsest levels' latents of one image with the finer levels' of another.

    Coarse levels tell what is seen and how it is lit, fine ones its textures and edges; how much is
    in which depends on the flow. Mixed with itself an image stays what it is.

    Args:
      flow: A flow whose bijector is a `MultiScale`.
      fine: Image `[..., H, W, C]` in the flow's own range that gives the fine levels.
      coarse: Image of the same shape that gives the coarse ones.
      coarse_levels: Number of levels that are taken from `coarse`.
      condition: What both images are conditioned on, where the flow takes a condition.

    Returns:
      Image `[..., H, W, C]`.

    Raises:
      TypeError: If the flow has no levels.
      ValueError: If `coarse_levels` leaves no level to `fine`, or the shapes differ.

    Example:

        mixed = mix_levels(flow, faces[:8], faces[8:16], coarse_levels=2)
    """
    levels = len(_level_shapes(flow))
    if check_positive_int(coarse_levels, "coarse_levels") >= levels:
        raise ValueError(
            f"coarse_levels must be below the flow's {levels} levels. Received: {coarse_levels}."
        )
    both = _encoded(flow, condition, fine=fine, coarse=coarse)
    of_fine, of_coarse = (split_levels(flow, z) for z in both)
    parts = of_fine[:-coarse_levels] + of_coarse[-coarse_levels:]
    return flow.decode(join_levels(flow, parts), condition)


def _encoded(flow: Flow, condition, **two) -> list[tf.Tensor]:
    """The latents of two events of one shape."""
    latents = [flow.encode(x, condition) for x in two.values()]
    first, second = (z.shape for z in latents)
    if not first.is_compatible_with(second):
        names = list(two)
        raise ValueError(
            f"{names[1]} must have the shape of {names[0]}. "
            f"Received: latents of shapes {tuple(second)} and {tuple(first)}."
        )
    return latents


def _level_shapes(flow: Flow) -> tuple:
    bijector = getattr(flow, "bijector", None)
    while isinstance(bijector, Wrapper):
        bijector = bijector.bijector
    shapes = getattr(bijector, "level_shapes", None)
    if shapes is None:
        raise TypeError(f"flow must have a MultiScale bijector. Received: {flow!r}.")
    return shapes
