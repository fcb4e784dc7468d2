"""The radial flow."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_glow.bijectors import Radial
from tfp_glow.flow import Flow
from tfp_glow.flows.amortized_steps import amortized_flow
from tfp_glow.flows.ingredients import EventShape, MarginalBins
from tfp_glow.flows.recipe import recipe

__all__ = ["radial"]


@recipe()
def radial(
    event_shape: EventShape,
    *,
    steps: int = 16,
    hidden_units: Sequence[int] = (64, 64),
    marginal_bins: MarginalBins | None = "auto",
    condition_size: int | None = None,
    num_classes: int | None = None,
    reversible: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """ActNorm and radial transformations; see `Radial`.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      steps: Number of transformations.
      hidden_units: Size of each hidden layer of the networks that read the condition.
      marginal_bins: Bins of the splines that make the marginals normal, of images' channels from
        the first batch on, of vectors' values in training; see `MarginalGaussianization`. "auto"
        is 32, but none for vectors under a condition; None for none, as in version 0.1.0.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      reversible: Whether gradients rebuild activations instead of storing them; see `Repeat`.
      seed: Seed of the initial centers.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        flow = radial(2, steps=32)
        z = flow.encode(x)

    References:
      Rezende and Mohamed, "Variational Inference with Normalizing Flows", arXiv:1505.05770.
    """
    return amortized_flow(
        event_shape,
        Radial,
        name="radial",
        steps=steps,
        hidden_units=hidden_units,
        marginal_bins=marginal_bins,
        condition_size=condition_size,
        num_classes=num_classes,
        reversible=reversible,
        seed=seed,
        dtype=dtype,
        network_dtype=network_dtype,
    )
