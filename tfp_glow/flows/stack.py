"""Flows side by side, as one with a batch of parameters."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.bijector import FlowBijector, initialize_part
from tfp_glow.core.passes import FORWARD, INVERSE, Pass
from tfp_glow.core.stacked import StackedBijector
from tfp_glow.flow import Flow
from tfp_glow.flows.recipe import recipe

__all__ = ["SideBySide", "stack"]

tfd = tfp.distributions


@recipe()
def stack(flows: Sequence[Flow]) -> Flow:
    """Flows of one recipe as one flow with a batch of parameters, for mixtures.

        log_prob(x)[..., k] = flows[k].log_prob(x[..., k, :])

    As everywhere in TFP, `x` of shape `[..., 1, *event]` is broadcast to all of them, and a sample
    holds one event of each. The variables are copies of the flows', stacked to `[K, ...]`, and a
    loop runs the flows one after the other: its graph does not grow with their number.

    Args:
      flows: Flows that one recipe built, with equal arguments but for their seeds, trained or not.

    Returns:
      A `Flow` of batch shape `[K]`.

    Raises:
      TypeError: If `flows` holds anything but flows.
      ValueError: If it is empty, or the flows were built by different recipes or arguments, take a
        condition, have random orders, or hold networks that change state when they are called.

    Example:

        components = stack([maf(2, seed=seed) for seed in range(8)])
        logits = tf.Variable(tf.zeros(8))
        mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)
        model = FlowModel(mixture)
    """
    flows = list(flows)
    _check_flows(flows)
    base = tfd.BatchBroadcast(flows[0].distribution, [len(flows)])
    bijector = SideBySide([flow.bijector for flow in flows])
    return Flow(base, bijector, name="stack")


class SideBySide(StackedBijector):
    """Bijectors of equal structure, each on its own part of a batch.

        forward(z)[..., k, :] = bijectors[k].forward(z[..., k, :])     and so for inverse

    Args:
      bijectors: K bijectors that differ in their variables alone and take no condition.
      name: Name of the bijector.

    Shapes: `[..., K, *event]` both ways, where 1 and none stand for K, and `[..., K]` for log-dets.
    """

    def __init__(self, bijectors: Sequence[FlowBijector], *, name: str | None = None):
        first = bijectors[0]
        super().__init__(
            forward_min_event_ndims=first.forward_min_event_ndims,
            inverse_min_event_ndims=first.inverse_min_event_ndims,
            dtype=first.dtype,
            name=name,
        )
        self.stack_parts(bijectors, "flows")

    def _forward_and_log_det(self, z, condition=None):
        return self._run(FORWARD, z)

    def _inverse_and_log_det(self, x, condition=None):
        return self._run(INVERSE, x)

    def _run(self, direction: Pass, value):
        value = self._one_by_one(direction, value)

        def step(index, slices, values, log_dets):
            new, log_det, _ = self._stack.run_step(direction, slices, value[index], None)
            return values.write(index, new), log_dets.write(index, log_det)

        arrays = tuple(tf.TensorArray(self.dtype, self._stack.depth) for _ in range(2))
        arrays = self._stack.loop(step, arrays, self.stacked_parameters(), backwards=False)
        values, log_dets = (array.stack() for array in arrays)
        ndims = direction.opposite.min_event_ndims(self)
        return _moved(values, 0, -ndims - 1), _moved(log_dets, 0, -1)

    def _one_by_one(self, direction: Pass, value):
        """The value as `[K, ..., *event]`."""
        ndims, depth = direction.min_event_ndims(self), self._stack.depth
        if value.shape.rank == ndims:
            value = value[tf.newaxis]
        received = value.shape[-ndims - 1]
        if received not in (None, 1, depth):
            raise ValueError(
                f"{direction.argument} of {self.name} must have 1 or {depth} events next to each "
                f"other, in dimension {-ndims - 1}. Received: shape {tuple(value.shape)}."
            )
        value = _moved(value, -ndims - 1, 0)
        return value + tf.zeros([depth] + [1] * (value.shape.rank - 1), value.dtype)

    def _initialize(self, x, condition=None):
        events = self._one_by_one(INVERSE, x)

        def initialize(index):
            initialize_part(self._stack.template, events[index], None)
            return index + 1

        self.change_each(initialize, tf.constant(0))
        return self._run(INVERSE, x)[0]

    def _forward_event_shape(self, shape) -> tf.TensorShape:
        return self._stack.template.forward_event_shape(shape)

    def _inverse_event_shape(self, shape) -> tf.TensorShape:
        return self._stack.template.inverse_event_shape(shape)

    def _forward_event_shape_tensor(self, shape):
        return self._stack.template.forward_event_shape_tensor(shape)

    def _inverse_event_shape_tensor(self, shape):
        return self._stack.template.inverse_event_shape_tensor(shape)


def _moved(value, source: int, destination: int):
    """The value with one of its dimensions at another place."""
    axes = list(range(value.shape.rank))
    axis = axes.pop(source)
    axes.insert(destination % value.shape.rank, axis)
    return tf.transpose(value, axes)


def _check_flows(flows: Sequence[Flow]) -> None:
    if not flows:
        raise ValueError("flows must hold at least one flow. Received: none.")
    for index, flow in enumerate(flows):
        if not isinstance(flow, Flow):
            raise TypeError(f"flows must hold flows alone. Received: flows[{index}]={flow!r}.")
        if _description(flow) is None or _description(flow) != _description(flows[0]):
            raise ValueError(
                "flows must be built by one recipe with equal arguments but for their seeds. "
                f"Received: flows[0] by {_description(flows[0])} and flows[{index}] by "
                f"{_description(flow)}."
            )
    _check_one(flows[0])


def _check_one(flow: Flow) -> None:
    if flow.condition_shape is not None:
        raise ValueError(
            "flows must take no condition, build them without condition_size and num_classes. "
            f"Received: flows with a condition of shape {flow.condition_shape}."
        )
    if flow.recipe["arguments"].get("order") == "random":
        raise ValueError(
            "flows must have the same order, which seeds draw with order='random'; build them "
            "with order='reverse'. Received: flows with order='random'."
        )
    if flow.bijector.changed_by_calls:
        raise ValueError(
            "flows must hold networks whose state does not change when they are called, such as "
            f"layer normalization. Received: {[v.path for v in flow.bijector.changed_by_calls]}."
        )


def _description(flow: Flow) -> tuple | None:
    """The flow's recipe and its arguments but for seeds, None where there is none."""
    if flow.recipe is None:
        return None
    arguments = {
        name: _description(value) if isinstance(value, Flow) else value
        for name, value in flow.recipe["arguments"].items()
        if name != "seed"
    }
    return flow.recipe["name"], arguments
