"""FFJORD, a continuous flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import tensorflow_probability as tfp

from tfp_glow.bijectors import ActNorm, Chain, ContinuousFlow
from tfp_glow.core.checks import check_choice
from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import (
    EventShape,
    check_image,
    condition_size_of,
    event_size,
    seeds_from,
    vector_flow,
)
from tfp_glow.flows.recipe import recipe
from tfp_glow.networks import MLP, UNet

__all__ = ["ffjord"]

tfb = tfp.bijectors


@recipe()
def ffjord(
    event_shape: EventShape,
    *,
    steps: int = 1,
    network: Literal["mlp", "unet"] = "mlp",
    hidden_units: Sequence[int] = (64, 64),
    activation: str = "tanh",
    hidden_channels: int = 32,
    levels: int = 2,
    trace: Literal["exact", "hutchinson"] | None = None,
    kinetic: float = 0.0,
    jacobian: float = 0.0,
    tolerance: float = 1e-5,
    condition_size: int | None = None,
    num_classes: int | None = None,
    seed: int | None = None,
    dtype: str = "float32",
) -> Flow:
    """FFJORD: ActNorm and values that move along the vector field of a network.

    See `ContinuousFlow` for the equations, the traces and the penalties.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      steps: Number of fields, one after the other, with ActNorm before each.
      network: `"mlp"`, or `"unet"`, which reads events as images, with ActNorm of their channels.
      hidden_units: Size of each hidden layer, of an mlp.
      activation: A smooth Keras activation, of an mlp.
      hidden_channels: Channels at the first level, of a unet, a multiple of 4.
      levels: Number of levels of a unet; H and W must be divisible by 2**(levels - 1).
      trace: How the trace of the Jacobian is found; exactly for events of up to 16 values when
        omitted, by Hutchinson's estimate for larger ones.
      kinetic: Weight of the training loss's penalty on the velocity.
      jacobian: Weight of its penalty on the velocity's Jacobian.
      tolerance: Relative and absolute error that the solver allows itself in a step.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      seed: Seed of the initial weights.
      dtype: dtype of data, latents and log-dets.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        flow = ffjord(2, hidden_units=(64, 64, 64))
        velocity = flow.bijector.bijectors[1].velocity(x, 0.5)

        model = FlowModel(ffjord((8, 8, 1), network="unet"), loss="flow_matching")

    References:
      Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud, "FFJORD: Free-form Continuous Dynamics
      for Scalable Reversible Generative Models", arXiv:1810.01367.
      Lipman et al., "Flow Matching for Generative Modeling", arXiv:2210.02747, for the other loss.
    """
    size, seeds = event_size(event_shape), seeds_from(seed)
    conditions = condition_size_of(condition_size, num_classes)
    on_images = check_choice(network, ("mlp", "unet"), "network") == "unet"
    if on_images:
        check_image(event_shape, levels=levels, halvings=levels - 1)

    def make_field() -> ContinuousFlow:
        common = {"condition_size": 1 + (conditions or 0), "seed": next(seeds), "dtype": dtype}
        if on_images:
            sizes = {"hidden_channels": hidden_channels, "levels": levels}
            built = UNet(event_shape[-1], inputs=tuple(event_shape), **sizes, **common)
        else:
            sizes = {"hidden_units": hidden_units, "activation": activation}
            built = MLP(size, inputs=(size,), **sizes, **common)
        return ContinuousFlow(
            built,
            trace=trace or ("exact" if size <= 16 else "hutchinson"),
            kinetic=kinetic,
            jacobian=jacobian,
            condition_shape=None if conditions is None else (conditions,),
            network_shape=tuple(event_shape) if on_images else None,
            tolerance=tolerance,
            seed=next(seeds),
            dtype=dtype,
        )

    bijectors = []
    for _ in range(steps):
        bijectors += [_normalization(event_shape, on_images, dtype), make_field()]
    return vector_flow(event_shape, bijectors, num_classes=num_classes, dtype=dtype, name="ffjord")


def _normalization(event_shape: EventShape, on_images: bool, dtype: str) -> tfb.Bijector:
    """ActNorm of each value, or of the channels of images, on flat vectors."""
    if not on_images:
        return ActNorm(event_size(event_shape), dtype=dtype)
    flat = tfb.Reshape([-1], list(event_shape))
    return Chain([flat, ActNorm(event_shape[-1], dtype=dtype), tfb.Invert(flat)])
