"""NICE."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import Coupling, DiagonalScaling
from tfp_glow.core.checks import check_choice
from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import (
    Dropout,
    EventShape,
    MarginalBins,
    condition_size_of,
    dropout_of,
    event_size_to_split,
    last_matrix,
    marginal_bins_of,
    seeds_from,
    vector_flow,
)
from tfp_glow.flows.recipe import recipe
from tfp_glow.networks import MLP

__all__ = ["nice"]

tfd = tfp.distributions

_BASES = {"normal": tfd.Normal, "logistic": tfd.Logistic}


@recipe()
def nice(
    event_shape: EventShape,
    *,
    couplings: int = 4,
    hidden_units: Sequence[int] = (1000,) * 5,
    base: Literal["normal", "logistic"] | None = None,
    dropout: Dropout = "auto",
    marginal_bins: MarginalBins | None = "auto",
    condition_size: int | None = None,
    num_classes: int | None = None,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """NICE: additive couplings and a diagonal scaling.

    The couplings keep the values at even and at odd places in turn. Only the scaling and the
    splines of the marginals have a log-det; all else preserves volume. The latents start with
    the base's standard deviation.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      couplings: Number of additive couplings.
      hidden_units: Size of each hidden layer of their networks.
      base: Distribution of the latents, which are independent. When omitted `"normal"` for vectors
        and `"logistic"` for other events, of which each learns faster.
      dropout: Share of the networks' hidden units that training drops; see `MLP`. "auto" is 0.1 for
        vectors of 3 values or more behind splines of marginals, 0.2 from 16 on; else 0, as in
        version 0.1.0.
      marginal_bins: Bins of the splines that make the marginals normal, of images' channels from
        the first batch on, of vectors' values in training; see `MarginalGaussianization`. "auto"
        is 32, but none for vectors under a condition; None for none, as in version 0.1.0. With
        them, vectors of up to 1024 values have a trained matrix before the base, for linear
        dependence.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      seed: Seed of all initial weights.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range, or an event has one value.

    Example:

        flow = nice(784)
        flow.log_prob(x, condition=None)

    References:
      Dinh, Krueger and Bengio, "NICE: Non-linear Independent Components Estimation",
      arXiv:1410.8516.
    """
    size, seeds = event_size_to_split(event_shape), seeds_from(seed)
    condition_size = condition_size_of(condition_size, num_classes)
    marginal_bins = marginal_bins_of(event_shape, marginal_bins, condition_size)
    dropout = dropout_of(dropout, event_shape, marginal_bins)
    base = base or ("normal" if isinstance(event_shape, int) else "logistic")
    latent = _BASES[check_choice(base, tuple(_BASES), "base")](tf.zeros([], dtype), 1.0)

    def coupling(index: int) -> Coupling:
        network = functools.partial(
            MLP,
            hidden_units=hidden_units,
            dropout=dropout,
            seed=next(seeds),
            dtype=network_dtype or dtype,
        )
        return Coupling(
            network,
            law="additive",
            mask="odd" if index % 2 else "even",
            event_shape=size,
            condition_shape=None if condition_size is None else (condition_size,),
            dtype=dtype,
        )

    bijectors = [
        *(coupling(index) for index in range(couplings)),
        DiagonalScaling(size, std=float(latent.stddev()), dtype=dtype),
        *last_matrix(event_shape, marginal_bins, dtype=dtype),
    ]
    return vector_flow(
        event_shape,
        bijectors,
        num_classes=num_classes,
        dtype=dtype,
        name="nice",
        marginal_bins=marginal_bins,
        condition_size=condition_size,
        base=tfd.Sample(latent, size, name=f"Standard{latent.name}"),
    )
