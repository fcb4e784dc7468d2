"""Normal distributions with diagonal covariance, which can depend on a condition."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from tfp_glow.bijectors import Chain, DiagonalAffine
from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import (
    EventShape,
    condition_size_of,
    event_size,
    seeds_from,
    vector_flow,
)
from tfp_glow.flows.recipe import recipe
from tfp_glow.networks import MLP

__all__ = ["gaussian", "gaussian_base"]


@recipe()
def gaussian(
    event_shape: EventShape,
    *,
    hidden_units: Sequence[int] = (),
    condition_size: int | None = None,
    num_classes: int | None = None,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """A normal of independent values, whose means and scales can depend on a condition.

    It is the posterior of a plain variational autoencoder, and the simplest flow to compare
    others with; see `DiagonalAffine`.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      hidden_units: Size of each hidden layer of the network that reads the condition; none for
        an affine map.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      seed: Seed of the network's initial weights.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the network; `dtype` when omitted.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        posterior = gaussian(40, condition_size=300)
        z = posterior.sample((100,), condition=features)

    References:
      Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114.
    """
    condition_size = condition_size_of(condition_size, num_classes)
    affine = _affine(
        event_size(event_shape), hidden_units, condition_size, seed, dtype, network_dtype
    )
    return vector_flow(event_shape, [affine], num_classes=num_classes, dtype=dtype, name="gaussian")


@recipe()
def gaussian_base(
    flow: Flow,
    *,
    hidden_units: Sequence[int] = (),
    condition_size: int | None = None,
    seed: int | None = None,
    network_dtype: str | None = None,
) -> Flow:
    """A flow whose latents start as a normal that depends on the condition.

        z_0 = mean(c) + exp(log_scale(c)) * noise,    x = flow.decode(z_0, c)

    where c is the condition. So begin the posteriors of variational autoencoders: a
    planar or Sylvester flow bends a normal that already lies where the posterior does.

    Args:
      flow: A flow with flat latents, trained or not. Its variables are shared.
      hidden_units: Size of each hidden layer of the network that reads the condition; none for
        an affine map.
      condition_size: Size of the condition vector; the flow's own when omitted.
      seed: Seed of the network's initial weights.
      network_dtype: Keras dtype or policy of the network; the flow's dtype when omitted.

    Returns:
      A `Flow` on the same data.

    Raises:
      TypeError: If `flow` is no Flow.
      ValueError: If its latents are not flat, or the condition is not a vector of one size.

    Example:

        posterior = gaussian_base(planar(40, hidden_units=(), condition_size=300))

    References:
      Rezende and Mohamed, "Variational Inference with Normalizing Flows", arXiv:1505.05770,
      section 4.2.
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow. Received: {flow!r}.")
    latents = flow.distribution.event_shape
    if latents.rank != 1:
        raise ValueError(f"flow must have flat latents. Received: latents of shape {latents}.")
    if condition_size is None:
        if len(flow.condition_shape or ()) != 1:
            raise ValueError(
                "condition_size must be given for a flow that takes no condition vector. "
                f"Received: None and a flow with condition shape {flow.condition_shape}."
            )
        condition_size = flow.condition_shape[0]
    dtype = flow.dtype.name
    affine = _affine(latents[0], hidden_units, condition_size, seed, dtype, network_dtype)
    return Flow(flow.distribution, Chain([flow.bijector, affine]), name="gaussian_base")


def _affine(size, hidden_units, condition_size, seed, dtype, network_dtype) -> DiagonalAffine:
    if condition_size is None:
        return DiagonalAffine(size, dtype=dtype)
    network = functools.partial(
        MLP, hidden_units=hidden_units, seed=next(seeds_from(seed)), dtype=network_dtype or dtype
    )
    return DiagonalAffine(size, network=network, condition_shape=(condition_size,), dtype=dtype)
