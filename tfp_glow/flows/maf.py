"""The masked autoregressive flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tfp_glow.flow import Flow
from tfp_glow.flows.autoregressive_steps import AutoregressiveLaw, Order, autoregressive_flow
from tfp_glow.flows.ingredients import Dropout, EventShape, MarginalBins, Reach
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws import AffineSoftsign, Law

__all__ = ["maf"]

_LAW = AffineSoftsign(bound=2.0)


@recipe()
def maf(
    event_shape: EventShape,
    *,
    steps: int = 5,
    hidden_units: Sequence[int] = (64, 64),
    residual: bool = False,
    order: Order = "reverse",
    law: AutoregressiveLaw | Law = _LAW,
    activation: str = "relu",
    dropout: Dropout = "auto",
    reach: Reach | None = "auto",
    degrees_from: Literal[0, 1] | None = None,
    marginal_bins: MarginalBins | None = "auto",
    condition_size: int | None = None,
    num_classes: int | None = None,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """MAF, the masked autoregressive flow: densities in one pass, samples value by value.

    Each step is ActNorm and a `MaskedAutoregressive` over a `MADE`. A density evaluates every
    network once. So does a sample, unit by unit in as many short steps as there are values. The
    first step takes the values in their own order.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      steps: Number of autoregressive layers.
      hidden_units: Size of each hidden layer of their networks.
      residual: Whether the networks' hidden layers are residual blocks.
      order: Of the values in further steps, `"reverse"` in turn or `"random"`.
      law: What is done to each value, by name or as an object of `tfp_glow.laws`; see `Coupling`.
      activation: A Keras activation of the networks.
      dropout: Share of the networks' hidden units that training drops; see `MLP`. "auto" is 0.1 for
        vectors of 3 values or more behind splines of marginals, 0.2 from 16 on, 0.05 for 2 whose
        law is a spline; else 0, as in version 0.1.0.
      reach: The networks see values clipped to [-reach, reach], so that outliers keep latents and
        densities that float32 can tell; "auto" is 4 behind splines of marginals and 10 without
        them, None for as they are, as in version 0.1.0.
      degrees_from: Lowest degree of the networks' hidden units; see `MADE`.
      marginal_bins: Bins of the splines that make the marginals normal, of images' channels from
        the first batch on, of vectors' values in training; see `MarginalGaussianization`. "auto"
        is 32, but none for vectors under a condition; None for none, as in version 0.1.0. With
        them, steps whose law is a spline have one of each value too, of as many bins as the law,
        `"spline"` acts in [-3, 3], and vectors of up to 1024 values have a trained matrix before
        the base, for linear dependence.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      seed: Seed of all initial weights and random orders.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        flow = maf(2, hidden_units=(512,))
        flow.log_prob(x)

    References:
      Papamakarios, Pavlakou and Murray, "Masked Autoregressive Flow for Density Estimation",
      arXiv:1705.07057.
    """
    return autoregressive_flow(
        event_shape,
        lambda bijector: bijector,
        name="maf",
        steps=steps,
        hidden_units=hidden_units,
        residual=residual,
        order=order,
        law=law,
        activation=activation,
        dropout=dropout,
        reach=reach,
        degrees_from=degrees_from,
        marginal_bins=marginal_bins,
        condition_size=condition_size,
        num_classes=num_classes,
        seed=seed,
        dtype=dtype,
        network_dtype=network_dtype,
    )
