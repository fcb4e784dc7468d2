"""Flow matching: training a continuous flow without moving along it."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import Conditioned, ContinuousFlow
from tfp_glow.core.checks import check_choice
from tfp_glow.core.modes import passed_fields
from tfp_glow.core.passes import INVERSE
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.core.validity import valid_or_nan
from tfp_glow.flow import Flow
from tfp_glow.solvers.pairing import nearby_pairs

__all__ = ["check_matchable", "flow_matching_loss", "matched_variables"]

PAIRINGS = ("independent", "optimal_transport")


def flow_matching_loss(flow: Flow, x, condition=None, *, pairing: str = "independent", seed=None):
    """By how much a continuous flow's vector field misses the straight paths from noise to data.

    With x_1 what the data are on the data's side of the field, x_0 what noise of the base
    distribution is on its other side, and a time t of each example, uniform from 0 to 1:

        x_t = (1 - t) x_0 + t x_1
        loss = |f(x_t, t) - (x_1 - x_0)|^2 / D,   f = ContinuousFlow.velocity

    The field for which its mean is least, f(x, t) = E[x_1 - x_0 given x_t = x], moves the base
    distribution to that of the data, so that the flow's `log_prob` and `sample` are right
    without a path having been solved in training. Of a good field too the loss is far from zero:
    it is what x_t leaves open of x_1 - x_0.

    Reshaping, ActNorm, logits and the like around the field carry data and noise to it. They are
    not trained, as the loss would fall with the scale of what they make of the data; networks that
    read conditions are.

    Args:
      flow: A `Flow` with exactly one `ContinuousFlow`, outside of loops and without penalties.
      x: `[batch, *event]`.
      condition: What the flow is conditioned on, where it takes a condition.
      pairing: `"independent"`, or `"optimal_transport"`: noise goes to data nearby in the batch,
        on paths that cross less. That is for flows without a condition, of which the noise would
        otherwise tell something.
      seed: Seed of the noise and the times.

    Returns:
      `[batch]`, squared units of the field's values; NaN where data or condition are not valid.

    Raises:
      TypeError: If `flow` is no `Flow`.
      ValueError: If it has no or several fields, a penalty, or a condition with
        `"optimal_transport"`.

    Example:

        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(flow_matching_loss(flow, x, seed=step))

    References:
      Lipman, Chen, Ben-Hamu, Nickel and Le, "Flow Matching for Generative Modeling",
      arXiv:2210.02747.
      Tong et al., "Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal
      Transport", arXiv:2302.00482, for the pairing.
    """
    check_matchable(flow, pairing)
    seeds = tfp.random.split_seed(stateless_seed(seed), 2, salt="flow_matching")
    field, start, end, given, valid = _ends_of_paths(flow, x, condition, pairing, seeds[0])
    time = tf.random.stateless_uniform([tf.shape(end)[0], 1], seeds[1], dtype=end.dtype)
    between = (1.0 - time) * start + time * end
    velocity = field.velocity(between, time[:, 0], given)
    losses = tf.reduce_mean(tf.math.squared_difference(velocity, end - start), -1)
    return valid_or_nan(valid, losses)


def check_matchable(flow: Flow, pairing: str) -> ContinuousFlow:
    """The one field of a flow that flow matching can train; raises where there is no such."""
    check_choice(pairing, PAIRINGS, "pairing")
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow, for flow matching. Received: {flow!r}.")
    parts = (flow.bijector, *flow.bijector.submodules)
    fields = [part for part in parts if isinstance(part, ContinuousFlow)]
    if len(fields) != 1:
        raise ValueError(
            "flow must hold exactly one ContinuousFlow, outside of loops, for flow matching, as "
            f"flows.ffjord of one step does. Received: {flow!r} with "
            f"{[field.name for field in fields]}."
        )
    if fields[0].has_penalty:
        raise ValueError(
            "flow must have no penalty on its paths, which flow matching does not solve; build it "
            f"with kinetic=0 and jacobian=0. Received: one on {fields[0].name}."
        )
    if pairing == "optimal_transport" and flow.condition_shape is not None:
        raise ValueError(
            "pairing by optimal transport is for flows without a condition. Received: a condition "
            f"of shape {flow.condition_shape}."
        )
    return fields[0]


def matched_variables(flow: Flow) -> list[tf.Variable]:
    """What flow matching trains: the field, and the networks that read conditions."""
    parts = (flow.bijector, *flow.bijector.submodules)
    fields = [part.variables for part in parts if isinstance(part, ContinuousFlow)]
    readers = [
        [variable.value for variable in part.condition_network.variables]
        for part in parts
        if isinstance(part, Conditioned)
    ]
    return [v for variables in (*fields, *readers) for v in variables if v.trainable]


def _ends_of_paths(flow: Flow, x, condition, pairing: str, seed) -> tuple:
    """The field, where its paths start and end, its condition, and which examples are valid."""
    with passed_fields() as fields:
        z = flow.encode(x, condition)
        base = flow.distribution.sample(tf.shape(z)[:1], seed=seed)
        flow.decode(base, condition)
    (field, direction, data, given), (_, _, noise, _) = fields
    # No gradient goes to what lies around the field, by whose scale the loss would fall.
    data, noise = tf.stop_gradient(data), tf.stop_gradient(noise)
    if pairing == "optimal_transport":
        noise = nearby_pairs(noise, data)
    # Within Invert, the data stand where paths start.
    start, end = (noise, data) if direction is INVERSE else (data, noise)
    valid = tf.reduce_all(tf.math.is_finite(z), list(range(1, z.shape.rank)))
    return field, start, end, given, valid
