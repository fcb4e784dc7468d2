"""What the masked and the inverse autoregressive flow share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal

from tfp_glow.bijectors import ActNorm, Chain, FlowBijector, MaskedAutoregressive
from tfp_glow.core.checks import check_choice
from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import (
    Dropout,
    EventShape,
    MarginalBins,
    Reach,
    condition_size_of,
    dropout_of,
    event_size,
    last_matrix,
    marginal_bins_of,
    marginals,
    reach_of,
    seeds_from,
    vector_flow,
)
from tfp_glow.laws import Law, RationalQuadraticSpline, get_law
from tfp_glow.networks import MADE

__all__ = ["AutoregressiveLaw", "Order", "autoregressive_flow"]

AutoregressiveLaw = Literal[
    "affine_softsign", "affine", "affine_exp", "additive", "spline", "logistic_mixture"
]
Order = Literal["reverse", "random"]
_SPLINE = RationalQuadraticSpline(bound=3.0)


def autoregressive_flow(
    event_shape: EventShape,
    wrap: Callable[[MaskedAutoregressive], FlowBijector],
    *,
    name: str,
    steps: int,
    hidden_units: Sequence[int],
    residual: bool,
    order: Order,
    law: str | Law,
    activation: str,
    dropout: Dropout,
    reach: Reach | None,
    degrees_from: int | None,
    marginal_bins: MarginalBins | None,
    condition_size: int | None,
    num_classes: int | None,
    seed: int | None,
    dtype: str,
    network_dtype: str | None,
) -> Flow:
    """Steps of ActNorm and of what `wrap` makes of a masked autoregressive flow.

    Where its law is a spline, one of each value that depends on no other stands before it. Behind
    splines of marginals a matrix is the last step.
    """
    check_choice(order, ("reverse", "random"), "order")
    size, seeds = event_size(event_shape), seeds_from(seed)
    condition_size = condition_size_of(condition_size, num_classes)
    marginal_bins = marginal_bins_of(event_shape, marginal_bins, condition_size)
    law, step_bins = _law_and_bins(law, has_marginals=marginal_bins is not None)
    reach = reach_of(reach, marginal_bins)
    dropout = dropout_of(dropout, event_shape, marginal_bins, splines=step_bins is not None)

    def step(index: int) -> Chain:
        network = functools.partial(
            MADE,
            hidden_units=hidden_units,
            residual=residual,
            order=_order_of(index, order),
            activation=activation,
            dropout=dropout,
            degrees_from=degrees_from,
            seed=next(seeds),
            dtype=network_dtype or dtype,
        )
        bijector = MaskedAutoregressive(
            network,
            law=law,
            event_shape=size,
            condition_shape=None if condition_size is None else (condition_size,),
            reach=reach,
            dtype=dtype,
        )
        splines = marginals(size, step_bins, dtype=dtype, start="lines")
        return Chain([ActNorm(size, dtype=dtype), *splines, wrap(bijector)])

    last = last_matrix(event_shape, marginal_bins, dtype=dtype)
    return vector_flow(
        event_shape,
        [*(step(index) for index in range(steps)), *last],
        num_classes=num_classes,
        dtype=dtype,
        name=name,
        marginal_bins=marginal_bins,
        condition_size=condition_size,
    )


def _law_and_bins(law: str | Law, *, has_marginals: bool) -> tuple[Law, int | None]:
    """The law, and the bins of the spline of each value before it, None for none.

    Values come closer behind such splines, and a spline by name acts where they are.
    """
    if not has_marginals:
        return get_law(law), None
    law = _SPLINE if law == "spline" else get_law(law)
    return law, law.bins if isinstance(law, RationalQuadraticSpline) else None


def _order_of(index: int, order: Order) -> str:
    """The data's own order first, then the reverse one in turn, or random ones."""
    if index == 0:
        return "forward"
    if order == "random":
        return "random"
    return "reverse" if index % 2 else "forward"
