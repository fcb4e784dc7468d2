"""The coupling neural spline flow."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from tfp_glow.bijectors import (
    ActNorm,
    Chain,
    Coupling,
    FlowBijector,
    Invertible1x1Conv,
    Permutation,
    Repeat,
)
from tfp_glow.core.randomness import random_generator
from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import (
    Dropout,
    EventShape,
    MarginalBins,
    condition_size_of,
    dropout_of,
    event_size_to_split,
    last_matrix,
    many_columns,
    marginal_bins_of,
    marginals,
    seeds_from,
    vector_flow,
)
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws import RationalQuadraticSpline
from tfp_glow.networks import MLP

__all__ = ["coupling_spline"]


@recipe()
def coupling_spline(
    event_shape: EventShape,
    *,
    steps: int = 4,
    hidden_units: Sequence[int] = (64, 64),
    bins: int = 8,
    bound: float = 3.0,
    dropout: Dropout = "auto",
    marginal_bins: MarginalBins | None = "auto",
    condition_size: int | None = None,
    num_classes: int | None = None,
    reversible: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """RQ-NSF (C): couplings by rational-quadratic splines, mixed by LU-parametrized matrices.

    Each step is ActNorm, a linear map, a spline of each value that depends on no other, and a
    coupling of half of the values. The maps start as random permutations, of two values as
    rotations. Of vectors of 16 values or more, behind splines of marginals, they stay permutations,
    and, up to 1024 values, one matrix stands before the base: matrices that splines follow learn
    rows by heart.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      steps: Number of couplings.
      hidden_units: Size of each hidden layer of their networks.
      bins: Bins of each spline of the steps.
      bound: Couplings act within [-bound, bound] and are the identity outside.
      dropout: Share of the networks' hidden units that training drops; see `MLP`. "auto" is 0.05,
        0.1 and 0.2 for vectors of 2, of 3 and of 16 values or more behind splines of marginals;
        else 0, as in version 0.1.0.
      marginal_bins: Bins of the splines that make the marginals normal, of images' channels from
        the first batch on, of vectors' values in training; see `MarginalGaussianization`. "auto"
        is 32, but none for vectors under a condition. None for none, nor splines of each value in
        the steps, as in version 0.1.0.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      reversible: Whether gradients rebuild activations instead of storing them; see `Repeat`.
      seed: Seed of all initial weights.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range, or an event has one value.

    Example:

        flow = coupling_spline(2, steps=8, hidden_units=(128, 128))

    References:
      Durkan, Bekasov, Murray and Papamakarios, "Neural Spline Flows", arXiv:1906.04032.
    """
    law = RationalQuadraticSpline(bins=bins, bound=bound)
    size, seeds = event_size_to_split(event_shape), seeds_from(seed)
    condition_size = condition_size_of(condition_size, num_classes)
    marginal_bins = marginal_bins_of(event_shape, marginal_bins, condition_size)
    dropout = dropout_of(dropout, event_shape, marginal_bins, splines=True)
    step_bins = None if marginal_bins is None else bins
    permuted = marginal_bins is not None and many_columns(event_shape)
    last = last_matrix(event_shape, marginal_bins, dtype=dtype) if permuted else []
    mixings = (_permutations if permuted else _matrices)(size, seeds, dtype)

    def make_step() -> Chain:
        network = functools.partial(
            MLP,
            hidden_units=hidden_units,
            dropout=dropout,
            seed=next(seeds),
            dtype=network_dtype or dtype,
        )
        coupling = Coupling(
            network,
            law=law,
            event_shape=size,
            condition_shape=None if condition_size is None else (condition_size,),
            dtype=dtype,
        )
        splines = marginals(size, step_bins, dtype=dtype, start="lines")
        return Chain([ActNorm(size, dtype=dtype), next(mixings), *splines, coupling])

    return vector_flow(
        event_shape,
        [Repeat(make_step, steps, reversible=reversible), *last],
        num_classes=num_classes,
        dtype=dtype,
        name="coupling_spline",
        marginal_bins=marginal_bins,
        condition_size=condition_size,
    )


def _matrices(size: int, seeds: Iterator[int], dtype: str) -> Iterator[FlowBijector]:
    """Matrices of full rank, one a step."""
    start = "rotation" if size == 2 else "permutation"
    for seed in seeds:
        yield Invertible1x1Conv(size, start=start, seed=seed, dtype=dtype)


def _permutations(size: int, seeds: Iterator[int], dtype: str) -> Iterator[FlowBijector]:
    """Random orders, and in turn with them exchanges of the halves: two steps transform all."""
    exchange = np.roll(np.arange(size), size // 2)
    for seed in seeds:
        yield Permutation(random_generator(seed).permutation(size), dtype=dtype)
        yield Permutation(exchange, dtype=dtype)
