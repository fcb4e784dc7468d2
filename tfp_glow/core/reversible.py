"""The gradient of a loop that stores nothing: each step's input is rebuilt from its output."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core.once_differentiable import once_differentiable
from tfp_glow.core.passes import Pass
from tfp_glow.core.rebuild import Rebuilt, differentiable, rebuild_and_differentiate
from tfp_glow.core.replay import this_moment
from tfp_glow.core.stack import Stack

__all__ = ["run_reversibly"]


def run_reversibly(plain, stack: Stack, direction: Pass, value, condition, stacked: list):
    """The pass `plain(value, condition, stacked)` with that gradient.

    Batch normalization and dropout inside of a step are evaluated again as they were: in the same
    phase, on the state that they had before the pass.

    Args:
      plain: The loop over the steps, `-> (output, log_det, *more)`; nothing flows back from `more`.
      stack: The steps.
      direction: Direction of the pass.
      value, condition, stacked: Its arguments; gradients reach all of them.
    """
    conditions, again = differentiable(condition), this_moment()

    @tf.custom_gradient
    def run(value, conditions, stacked):
        given = conditions[0] if conditions else condition
        output, log_det, *more = plain(value, given, stacked)

        def gradient(*upstream):
            with again():
                gradients = _gradients(stack, direction, output, given, stacked, upstream[:2])
            return once_differentiable(gradients, "A loop with reversible=True")

        return (output, log_det, *more), gradient

    return run(value, conditions, stacked)


def _gradients(stack: Stack, direction: Pass, output, condition, stacked, upstream) -> tuple:
    """Gradients with respect to the input, the conditions and the stacked parameters."""
    variables = stack.template.keras_variables
    trainable = [index for index, v in enumerate(variables) if v.trainable]
    backwards = not stack.is_backwards(direction)

    def step(index, slices, value, gradient, of_condition, collected):
        rebuilt = _rebuild_step(stack, direction, slices, value, condition, (gradient, upstream[1]))
        collected = [
            array.write(index, rebuilt.variables[id(variables[i])])
            for array, i in zip(collected, trainable, strict=True)
        ]
        of_condition = [c + rebuilt.condition for c in of_condition]
        return rebuilt.value, rebuilt.gradient, of_condition, collected

    of_condition = [tf.zeros_like(c) for c in differentiable(condition)]
    collected = [stack.array_of(stacked[i]) for i in trainable]
    state = (output, upstream[0], of_condition, collected)
    _, gradient, of_condition, collected = stack.loop(step, state, stacked, backwards=backwards)
    of_stacked = dict(zip(trainable, (array.stack() for array in collected), strict=True))
    return gradient, of_condition, [of_stacked.get(i) for i in range(len(stacked))]


def _rebuild_step(stack: Stack, direction: Pass, slices, value, condition, gradients) -> Rebuilt:
    with stack.at(slices):
        return rebuild_and_differentiate(
            stack.template,
            direction,
            value,
            condition,
            gradients,
            event_ndims=direction.opposite.min_event_ndims(stack.template),
        )
