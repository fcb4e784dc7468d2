"""A pass that stores its input alone."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector, initialize_part
from tfp_glow.core.passes import FORWARD, INVERSE, Pass
from tfp_glow.core.rebuild import differentiable, read_tape, trainable_tensors
from tfp_glow.core.replay import this_moment
from tfp_glow.core.substitution import refuse_assignments, substituted
from tfp_glow.core.wrapper import Wrapper

__all__ = ["Recompute"]


class Recompute(Wrapper):
    """The same bijector, whose gradient evaluates it again instead of storing what it computed.

    Of a pass nothing but its input is kept. Batch normalization updates its statistics once, and
    dropout draws the same numbers again. For a `ResidualBlock` this is the memory-saving
    gradient of Residual Flows, right for any weights of the examples. Unlike
    `Repeat(reversible=True)` it inverts nothing.

    Args:
      bijector: A bijector whose variables are Keras variables.
      name: Name of the bijector.

    Shapes: those of the bijector.

    Raises:
      TypeError: If `bijector` is no `FlowBijector`.

    Example:

        block = Recompute(ResidualBlock(LipschitzMLP(2)))

    References:
      Chen, Xu, Zhang and Guestrin, "Training Deep Nets with Sublinear Memory Cost",
      arXiv:1604.06174.
    """

    def __init__(self, bijector: FlowBijector, *, name: str | None = None):
        condition_shape = getattr(bijector, "condition_shape", None)
        super().__init__(bijector, condition_shape=condition_shape, name=name)

    def _forward_and_log_det(self, z, condition=None):
        return self._recomputed(FORWARD, z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._recomputed(INVERSE, x, condition)

    def _recomputed(self, direction: Pass, value, condition):
        variables, again = self.keras_variables, this_moment()
        values = [tf.convert_to_tensor(v) for v in variables]
        conditions, places = differentiable(condition), []

        def transformed(value, given, values):
            with substituted(variables, values) as assigned:
                result = direction(self.bijector, value, given)
                tensors = trainable_tensors(self.bijector)
            refuse_assignments(assigned, variables, self.changed_by_calls, self.name)
            return result, tensors, assigned

        @tf.custom_gradient
        def run(value, conditions, values):
            given = conditions[0] if conditions else condition
            result, _, assigned = transformed(value, given, values)
            places[:] = assigned

            def gradient(*upstream):
                with again(), tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch([value, *conditions, *values])
                    result, tensors, _ = transformed(value, given, values)
                found = read_tape(tape, result, upstream[:2], value, tensors, given)
                of_values = [found.variables.get(id(variable)) for variable in variables]
                return found.gradient, [found.condition] if conditions else [], of_values

            return (*result, *assigned.values()), gradient

        value, log_det, *new = run(value, conditions, values)
        for place, state in zip(places, new, strict=True):
            variables[place].assign(state)
        return value, log_det

    def _initialize(self, x, condition=None):
        return initialize_part(self.bijector, x, condition)
