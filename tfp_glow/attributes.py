"""Attributes of data as directions of latents, and data under other conditions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.shapes import of_any_batch
from tfp_glow.flow import Flow

__all__ = ["attribute_direction", "manipulate", "recondition"]


def attribute_direction(
    flow: Flow,
    x_with,
    x_without,
    *,
    condition_with=None,
    condition_without=None,
    orthogonal_to=None,
    batch_size: int = 256,
) -> tf.Tensor:
    """The way in latents from examples without an attribute to those with it.

        v = mean of z_with - mean of z_without,   then   v - B B' v

    with B an orthonormal basis of the directions in `orthogonal_to`. Latents are close to N(0, I),
    for which the difference of means is Fisher's linear discriminant too. Where two attributes go
    together in the data, each difference holds a part of the other one's; made orthogonal to that,
    a direction moves its own attribute alone, as far as attributes are linear in the latents.

    Args:
      flow: The flow.
      x_with: Examples with the attribute, `[N, *event]` in the flow's own range.
      x_without: Examples without it, `[M, *event]`. Some hundred of each average out what has
        nothing to do with the attribute.
      condition_with: What the former are conditioned on, `[N, ...]` or the same for all, where the
        flow takes a condition.
      condition_without: The same of the latter.
      orthogonal_to: Directions `[D]` or `[k, D]` along which to stay, or None.
      batch_size: Examples encoded at once.

    Returns:
      v `[D]`, for `manipulate`. A strength of 1 is the way between the groups' means.

    Raises:
      ValueError: If a group is empty, its latents are not finite, or a shape does not fit.
      TypeError: If the examples' dtype is not the flow's.

    Example:

        slant = attribute_direction(flow, slanted, upright)
        weight = attribute_direction(flow, thick, thin, orthogonal_to=slant)

    References:
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039, section 6.
    """
    check_positive_int(batch_size, "batch_size")
    group_with = _checked_group(flow, x_with, condition_with, "x_with")
    group_without = _checked_group(flow, x_without, condition_without, "x_without")

    @tf.function(autograph=False)
    def total(batch, condition):
        return tf.reduce_sum(flow.encode(batch, condition), 0)

    direction = _mean_latent(total, *group_with, batch_size, "x_with")
    direction -= _mean_latent(total, *group_without, batch_size, "x_without")
    if orthogonal_to is None:
        return direction
    others = _checked_direction(flow, orthogonal_to, "orthogonal_to", ranks=(1, 2))
    basis, _ = tf.linalg.qr(tf.transpose(tf.reshape(others, [-1, others.shape[-1]])))
    return direction - tf.linalg.matvec(basis, tf.linalg.matvec(basis, direction, transpose_a=True))


def manipulate(
    flow: Flow, x, direction, strengths: Sequence[float], *, condition=None
) -> tf.Tensor:
    """Data moved along a direction of their latents: decode(encode(x) + strength * direction).

    Args:
      flow: The flow.
      x: `[N, *event]` in the flow's own range.
      direction: `[D]`, as `attribute_direction` gives it.
      strengths: Factors of the direction, of which 0 gives x back and those below 0 take the
        attribute away.
      condition: What x is conditioned on, where the flow takes a condition.

    Returns:
      `[len(strengths), N, *event]`.

    Raises:
      ValueError: If the direction has another size than the latents, or the strengths are no
        sequence of finite numbers.

    Example:

        frames = manipulate(flow, faces, smile, [-1.0, 0.0, 1.0])
    """
    direction = _checked_direction(flow, direction, "direction", ranks=(1,))
    z = flow.encode(x, condition)
    factors = np.asarray(strengths, z.dtype.as_numpy_dtype)
    if factors.ndim != 1 or not factors.size or not np.isfinite(factors).all():
        raise ValueError(f"strengths must be a list of finite numbers. Received: {strengths!r}.")
    factors = tf.reshape(factors, [-1] + [1] * z.shape.rank)
    return flow.decode(z + factors * direction, condition)


def recondition(flow: Flow, x, condition, new_condition) -> tf.Tensor:
    """Data with the same latents under another condition: decode(encode(x, old), new).

    What the condition explains changes, a digit's class for instance, and what it does not stays,
    such as its hand. The way back is exact: `recondition(flow, y, new_condition, condition)`.

    Args:
      flow: A flow that takes a condition.
      x: `[N, *event]` in the flow's own range.
      condition: What x is conditioned on.
      new_condition: What the result is to be conditioned on, of the same shape.

    Returns:
      `[N, *event]`.

    Raises:
      ValueError: If the flow takes no condition, or one does not fit.

    Example:

        sevens = recondition(flow, ones, tf.fill([8], 1), tf.fill([8], 7))
    """
    if flow.condition_shape is None:
        raise ValueError(f"flow must take a condition. Received: {flow.name}, which takes none.")
    return flow.decode(flow.encode(x, condition), new_condition)


def _mean_latent(
    total: tf.types.experimental.PolymorphicFunction,
    x: tf.Tensor,
    condition: tf.Tensor | None,
    batch_size: int,
    argument: str,
) -> tf.Tensor:
    """The mean of a group's latents; `total` sums those of a batch."""
    values = (x, condition)
    # One trace for batches of any size, and for both groups.
    total = total.get_concrete_function(*map(of_any_batch, values))
    starts = range(0, len(x), batch_size)
    batches = [slice(start, start + batch_size) for start in starts]
    sums = [total(*(v[batch] for v in values if v is not None)) for batch in batches]
    mean = tf.add_n(sums) / len(x)
    if not np.isfinite(mean).all():
        raise ValueError(f"{argument} must have finite latents. Received: NaN or infinite ones.")
    return mean


def _checked_group(flow: Flow, x, condition, argument: str) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Examples, and the condition of each or None."""
    x = tf.convert_to_tensor(x, dtype_hint=flow.dtype)
    if x.shape.rank != flow.event_shape.rank + 1 or not x.shape[0]:
        raise ValueError(
            f"{argument} must be one or more examples of shape {tuple(flow.event_shape)}. "
            f"Received: shape {tuple(x.shape)}."
        )
    if condition is None:
        return x, None
    condition = tf.convert_to_tensor(condition)
    if condition.shape.rank == len(flow.condition_shape or ()):
        condition = tf.repeat(condition[tf.newaxis], len(x), axis=0)
    return x, condition


def _checked_direction(flow: Flow, direction, argument: str, *, ranks: tuple) -> tf.Tensor:
    direction = tf.convert_to_tensor(direction, flow.dtype)
    (size,) = flow.distribution.event_shape
    if direction.shape.rank not in ranks or direction.shape[-1] != size:
        raise ValueError(
            f"{argument} must have {size} values, as the latents have. "
            f"Received: shape {tuple(direction.shape)}."
        )
    return direction
