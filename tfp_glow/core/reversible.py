"""The gradient of a loop that stores nothing: each step's input is rebuilt from its output."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core.once_differentiable import once_differentiable
from tfp_glow.core.passes import Pass
from tfp_glow.core.randomness import random_operations
from tfp_glow.core.rebuild import Rebuilt, differentiable, rebuild_and_differentiate
from tfp_glow.core.stack import Stack

__all__ = ["refuse_randomness", "run_reversibly"]


def run_reversibly(plain, stack: Stack, direction: Pass, value, condition, stacked: list):
    """The pass `plain(value, condition, stacked)` with that gradient.

    Args:
      plain: The loop over the steps, `-> (output, log_det)`.
      stack: The steps.
      direction: Direction of the pass.
      value, condition, stacked: Its arguments; gradients reach all of them.
    """
    conditions = differentiable(condition)

    @tf.custom_gradient
    def run(value, conditions, stacked):
        given = conditions[0] if conditions else condition
        output, log_det = plain(value, given, stacked)

        def gradient(*upstream):
            gradients = _gradients(stack, direction, output, given, stacked, upstream)
            return once_differentiable(gradients, "A loop with reversible=True")

        return (output, log_det), gradient

    return run(value, conditions, stacked)


def refuse_randomness(stack: Stack, direction: Pass, value, condition, stacked, name: str) -> None:
    """Raises where a step draws numbers that the rebuilt pass could not draw again."""

    def step(slices, value, condition):
        return stack.run_step(direction, slices, value, condition)

    slices = [tf.TensorSpec(p.shape[1:], p.dtype) for p in stacked]
    inputs = [None if v is None else tf.TensorSpec.from_tensor(v) for v in (value, condition)]
    traced = tf.function(step, autograph=False).get_concrete_function(slices, *inputs)
    found = random_operations(traced.graph)
    if found:
        raise ValueError(
            f"make_step of {name} must return a step without random numbers of its own: "
            f"with reversible=True they cannot be drawn again. Received: a step with {found}."
        )


def _gradients(stack: Stack, direction: Pass, output, condition, stacked, upstream) -> tuple:
    """Gradients with respect to the input, the conditions and the stacked parameters."""
    variables = stack.template.keras_variables
    trainable = [index for index, v in enumerate(variables) if v.trainable]
    backwards = not stack.is_backwards(direction)

    def step(slices, index, value, gradient, of_condition, collected):
        rebuilt = _rebuild_step(stack, direction, slices, value, condition, (gradient, upstream[1]))
        collected = [
            array.write(index, rebuilt.variables[id(variables[i])])
            for array, i in zip(collected, trainable, strict=True)
        ]
        of_condition = [c + rebuilt.condition for c in of_condition]
        index += -1 if backwards else 1
        return index, rebuilt.value, rebuilt.gradient, of_condition, collected

    start = tf.constant(stack.depth - 1 if backwards else 0)
    of_condition = [tf.zeros_like(c) for c in differentiable(condition)]
    collected = [stack.array_of(stacked[i]) for i in trainable]
    state = (start, output, upstream[0], of_condition, collected)
    _, _, gradient, of_condition, collected = stack.loop(step, state, stacked, backwards=backwards)
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
