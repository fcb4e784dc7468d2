"""What flows can be made of, and models."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.compat import has_density

__all__ = ["check_base", "check_one_distribution", "has_batch_shape"]

tfb, tfd = tfp.bijectors, tfp.distributions


def check_base(distribution: tfd.Distribution, bijector: tfb.Bijector) -> None:
    """Raises unless log p(z) of the distribution and the bijector's log-det may be added."""
    if not isinstance(distribution.dtype, tf.DType):
        raise TypeError(
            "distribution must have events of one tensor, as tfd.Blockwise makes them of several. "
            f"Received: {distribution!r}."
        )
    if not has_density(distribution):
        raise TypeError(
            "distribution must have a density, which the bijector's log-det changes; the "
            "probabilities of a discrete one stay, as in tfd.TransformedDistribution. "
            f"Received: {distribution!r}."
        )
    if isinstance(bijector, FlowBijector) and bijector.dtype not in (None, distribution.dtype):
        raise TypeError(
            f"bijector must have the dtype of the distribution, {distribution.dtype.name}. "
            f"Received: {bijector.name} of {bijector.dtype.name}."
        )
    rank, least = distribution.event_shape.rank, bijector.forward_min_event_ndims
    if rank is not None and isinstance(least, int) and rank < least:
        raise ValueError(
            f"distribution must have events of at least {least} dimensions, which {bijector.name} "
            "changes at once; tfd.Sample and tfd.Independent make dimensions parts of the event. "
            f"Received: {distribution!r}."
        )


def has_batch_shape(distribution: tfd.Distribution) -> bool:
    """Whether it, or a part of a joint distribution, is several side by side."""
    return any(tf.TensorShape(s).rank for s in tf.nest.flatten(distribution.batch_shape))


def check_one_distribution(distribution: tfd.Distribution, argument: str) -> None:
    """Raises where log p(x) would be of several distributions, whose mean is no likelihood."""
    if has_batch_shape(distribution):
        raise ValueError(
            f"{argument} must have batch shape (): make it part of the event by tfd.Sample or "
            "tfd.Independent, or mix its parts by tfd.MixtureSameFamily. "
            f"Received: batch shape {distribution.batch_shape}."
        )
