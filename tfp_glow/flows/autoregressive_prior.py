"""The autoregressive prior of another flow's latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

from tfp_glow.bijectors import Chain, MaskedAutoregressive
from tfp_glow.flow import Flow
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws import AffineSoftsign
from tfp_glow.networks import MADE

__all__ = ["autoregressive_prior"]


@recipe()
def autoregressive_prior(
    flow: Flow,
    *,
    hidden_units: Sequence[int] = (512,),
    residual: bool = False,
    law: Literal["affine_softsign", "affine_exp"] = "affine_softsign",
    reach: float | None = 10.0,
    degrees_from: Literal[0, 1] | None = None,
    seed: int | None = None,
) -> Flow:
    """A flow whose latents no longer are independent: an autoregressive prior p(z).

        log p(x) = sum_t log p(z_t | z_1 .. z_{t-1}) + log|det dz/dx|,   z = flow.encode(x)

    with p(z_t | ...) a normal whose mean and scale a masked network gives. It is a flow like any
    other, and starts as the flow that it is given. Densities take one more network
    evaluation; samples too, unit by unit in as many short steps as there are latents.

    Args:
      flow: A flow with flat latents, on images or vectors, trained or not. Its variables are
        shared.
      hidden_units: Size of each hidden layer of the masked network.
      residual: Whether its hidden layers are residual blocks.
      law: What is done to each latent; see `Coupling`. `"affine_softsign"` is bounded by e^2 here,
        `"affine_exp"`, that of version 0.1.0, by e^5.
      reach: The network sees values clipped to [-reach, reach], so that outliers keep latents and
        densities that float32 can tell; None for as they are, as in version 0.1.0.
      degrees_from: Lowest degree of its hidden units; see `MADE`.
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
    network = MADE(
        latents[0],
        hidden_units=hidden_units,
        residual=residual,
        degrees_from=degrees_from,
        seed=seed,
        dtype=dtype,
    )
    for weights in network.last.variables:
        weights.assign(tf.zeros_like(weights))
    law = AffineSoftsign(bound=2.0) if law == "affine_softsign" else law
    prior = MaskedAutoregressive(network, law=law, reach=reach, dtype=dtype)
    return Flow(flow.distribution, Chain([flow.bijector, prior]), name="autoregressive_prior")
