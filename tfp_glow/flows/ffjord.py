"""FFJORD, a continuous flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tfp_glow.bijectors import ActNorm, ContinuousFlow
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

__all__ = ["ffjord"]


@recipe
def ffjord(
    event_shape: EventShape,
    *,
    steps: int = 1,
    hidden_units: Sequence[int] = (64, 64),
    activation: str = "tanh",
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
      hidden_units: Size of each hidden layer of their networks.
      activation: A smooth Keras activation.
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

    References:
      Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud, "FFJORD: Free-form Continuous Dynamics
      for Scalable Reversible Generative Models", arXiv:1810.01367.
    """
    size, seeds = event_size(event_shape), seeds_from(seed)
    conditions = condition_size_of(condition_size, num_classes)
    trace = trace or ("exact" if size <= 16 else "hutchinson")
    bijectors = []
    for _ in range(steps):
        network = MLP(
            size,
            hidden_units=hidden_units,
            activation=activation,
            inputs=(size,),
            condition_size=1 + (conditions or 0),
            seed=next(seeds),
            dtype=dtype,
        )
        field = ContinuousFlow(
            network,
            trace=trace,
            kinetic=kinetic,
            jacobian=jacobian,
            condition_shape=None if conditions is None else (conditions,),
            tolerance=tolerance,
            seed=next(seeds),
            dtype=dtype,
        )
        bijectors += [ActNorm(size, dtype=dtype), field]
    return vector_flow(event_shape, bijectors, num_classes=num_classes, dtype=dtype, name="ffjord")
