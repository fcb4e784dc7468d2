"""What the masked and the inverse autoregressive flow share, and the autoregressive prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from tfp_glow.bijectors import ActNorm, Chain, FlowBijector, MaskedAutoregressive
from tfp_glow.core.checks import check_choice, check_positive_int
from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import (
    EventShape,
    condition_size_of,
    event_size,
    seeds_from,
    vector_flow,
)
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws.elementwise import get_law
from tfp_glow.networks import MADE

__all__ = ["Order", "autoregressive_flow", "autoregressive_prior"]

Order = Literal["reverse", "random"]


def autoregressive_flow(
    event_shape: EventShape,
    wrap: Callable[[MaskedAutoregressive], FlowBijector],
    *,
    name: str,
    steps: int,
    hidden_units: Sequence[int],
    residual: bool,
    order: Order,
    coupling: str,
    activation: str,
    condition_size: int | None,
    num_classes: int | None,
    seed: int | None,
    dtype: str,
    network_dtype: str | None,
) -> Flow:
    """Steps of ActNorm and of what `wrap` makes of a masked autoregressive flow."""
    check_positive_int(steps, "steps")
    check_choice(order, ("reverse", "random"), "order")
    size, seeds = event_size(event_shape), seeds_from(seed)
    condition_size = condition_size_of(condition_size, num_classes)

    def step(index: int) -> Chain:
        network = MADE(
            size,
            parameters=get_law(coupling).parameters_per_channel,
            hidden_units=hidden_units,
            residual=residual,
            order=_order_of(index, order),
            activation=activation,
            condition_size=condition_size,
            seed=next(seeds),
            dtype=network_dtype or dtype,
        )
        condition_shape = None if condition_size is None else (condition_size,)
        bijector = MaskedAutoregressive(
            network, law=coupling, condition_shape=condition_shape, dtype=dtype
        )
        return Chain([ActNorm(size, dtype=dtype), wrap(bijector)])

    return vector_flow(
        event_shape,
        [step(index) for index in range(steps)],
        num_classes=num_classes,
        dtype=dtype,
        name=name,
    )


def _order_of(index: int, order: Order) -> str:
    """The data's own order first, then the reverse one in turn, or random ones."""
    if index == 0:
        return "forward"
    if order == "random":
        return "random"
    return "reverse" if index % 2 else "forward"


@recipe
def autoregressive_prior(
    flow: Flow,
    *,
    hidden_units: Sequence[int] = (512,),
    residual: bool = False,
    seed: int | None = None,
) -> Flow:
    """A flow whose latents no longer are independent: an autoregressive prior p(z).

        log p(x) = sum_t log p(z_t | z_1 .. z_{t-1}) + log|det dz/dx|,   z = flow.encode(x)

    with p(z_t | ...) a normal whose mean and scale a masked network gives. It is a flow like any
    other, and starts as the flow that it is given. Densities take one more network
    evaluation; samples take one for each latent.

    Args:
      flow: A flow with flat latents, on images or vectors, trained or not. Its variables are
        shared.
      hidden_units: Size of each hidden layer of the masked network.
      residual: Whether its hidden layers are residual blocks.
      seed: Seed of its initial weights.

    Returns:
      A `Flow` on the same data.

    Raises:
      TypeError, ValueError: If `flow` is no Flow, its latents are not flat, or a size is none.

    Example:

        flow = autoregressive_prior(glow((32, 32, 3)))

    References:
      Papamakarios, Pavlakou and Murray, "Masked Autoregressive Flow for Density Estimation",
      arXiv:1705.07057, section 3.
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow. Received: {flow!r}.")
    latents = flow.distribution.event_shape
    if latents.rank != 1:
        raise ValueError(f"flow must have flat latents. Received: latents of shape {latents}.")
    dtype = flow.dtype.name
    network = MADE(latents[0], hidden_units=hidden_units, residual=residual, seed=seed, dtype=dtype)
    prior = MaskedAutoregressive(network, dtype=dtype)
    return Flow(flow.distribution, Chain([flow.bijector, prior]), name="autoregressive_prior")
