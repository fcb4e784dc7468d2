"""FFJORD, a continuous flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.bijectors import ffjord as tfp_ffjord

from tfp_glow.bijectors import ActNorm
from tfp_glow.checks import check_choice, check_positive_int
from tfp_glow.flow import Flow
from tfp_glow.flows.parts import EventShape, event_size, seeds_from, vector_flow
from tfp_glow.flows.recipe import recipe
from tfp_glow.networks import MLP
from tfp_glow.tracking import Tracked

__all__ = ["ffjord"]

tfb = tfp.bijectors
_TRACES = {
    "exact": tfp_ffjord.trace_jacobian_exact,
    "hutchinson": tfp_ffjord.trace_jacobian_hutchinson,
}


@recipe
def ffjord(
    event_shape: EventShape,
    *,
    steps: int = 1,
    hidden_units: Sequence[int] = (64, 64),
    activation: str = "tanh",
    trace: Literal["exact", "hutchinson"] = "exact",
    tolerance: float = 1e-5,
    seed: int | None = None,
    dtype: str = "float32",
) -> Flow:
    """FFJORD: values move along the vector field of a network from time 0 to 1.

        dx/dt = f(x, t),   x(0) = z,   x(1) = x,      log|det dx/dz| = integral of tr(df/dx)

    `tfb.FFJORD` solves it by an adaptive Runge-Kutta method, with the adjoint method's gradients.
    The exact trace costs an evaluation for each value of an event; Hutchinson's costs one, is a
    random estimate, and is the one that XLA compiles, in minutes.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      steps: Number of fields, one after the other, with ActNorm before each.
      hidden_units: Size of each hidden layer of their networks.
      activation: A smooth Keras activation.
      trace: How the trace of the Jacobian is found.
      tolerance: Relative and absolute error that the solver allows itself in a step.
      seed: Seed of the initial weights.
      dtype: dtype of data, latents and log-dets.

    Returns:
      A `Flow` with latents `[size]`. It starts as the identity.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        flow = ffjord(2, hidden_units=(64, 64, 64))
        velocity = flow.bijector.bijectors[1].state_time_derivative_fn(0.5, x)

    References:
      Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud, "FFJORD: Free-form Continuous Dynamics
      for Scalable Reversible Generative Models", arXiv:1810.01367.
    """
    check_positive_int(steps, "steps")
    check_choice(trace, tuple(_TRACES), "trace")
    size, seeds = event_size(event_shape), seeds_from(seed)
    bijectors = []
    for _ in range(steps):
        network = MLP(
            size,
            hidden_units=hidden_units,
            activation=activation,
            input_shape=(size,),
            condition_size=1,
            seed=next(seeds),
            dtype=dtype,
        )
        field = tfb.FFJORD(
            _field(network),
            ode_solve_fn=tfp.math.ode.DormandPrince(rtol=tolerance, atol=tolerance).solve,
            trace_augmentation_fn=_TRACES[trace],
            dtype=tf.as_dtype(dtype),
        )
        bijectors += [ActNorm(size, dtype=dtype), field]
    return vector_flow(event_shape, bijectors, num_classes=None, dtype=dtype, name="ffjord")


def _field(network: MLP) -> Tracked:
    """The network as a function of time and place."""

    def velocity(time, x):
        time = tf.reshape(tf.cast(time, x.dtype), [1])
        return network([x, time])

    return Tracked(velocity, [network])
