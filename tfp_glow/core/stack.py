"""Steps of equal structure, run one after the other on stacked parameters."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.passes import FORWARD, Pass
from tfp_glow.core.substitution import refuse_assignments, substituted

__all__ = ["Stack"]


@dataclass(frozen=True)
class Stack:
    """`depth` steps, of which one template is run with the parameters of each.

    Stacked parameters are tensors `[depth, ...]`, one for each Keras variable of the template, in
    its order; `slices` are those of one step.

    Attributes:
      template: The step.
      depth: Number of steps.
      unroll: Whether steps are written out instead of looped over.
    """

    template: FlowBijector
    depth: int
    unroll: bool

    def is_backwards(self, direction: Pass) -> bool:
        """Whether the last step comes first, as in generation."""
        return direction is FORWARD

    def loop(self, step: Callable, state: tuple, stacked: Sequence, *, backwards: bool) -> tuple:
        """Calls `step(index, slices, *state) -> state` for each step in turn."""
        if self.unroll:
            indices = range(self.depth)
            for index in reversed(indices) if backwards else indices:
                state = step(index, [p[index] for p in stacked], *state)
            return state
        # Reading from a TensorArray has a gradient that writes one element, where slicing the
        # stacked tensor would add up `depth` tensors of its full size.
        arrays = [self.array_of(p).unstack(p) for p in stacked]

        def body(count, *state):
            index = self.depth - 1 - count if backwards else count
            return count + 1, *step(index, [array.read(index) for array in arrays], *state)

        _, *state = tf.while_loop(
            lambda count, *_: count < self.depth,
            body,
            (tf.constant(0), *state),
            maximum_iterations=self.depth,
            parallel_iterations=1,  # Steps that go ahead would keep what the gradients still need.
        )
        return tuple(state)

    def array_of(self, stacked) -> tf.TensorArray:
        """An array that takes a slice of a stacked parameter for each step."""
        return tf.TensorArray(stacked.dtype, self.depth, element_shape=stacked.shape[1:])

    def run_step(self, direction: Pass, slices, value, condition) -> tuple:
        """The template's pass under one step's parameters, and what it assigned to them."""
        with self.at(slices) as assigned:
            value, log_det = direction(self.template, value, condition)
        return value, log_det, assigned

    @contextlib.contextmanager
    def at(self, slices) -> Iterator[dict]:
        """Substitutes the template's variables, as `substituted` does.

        Raises:
          ValueError: Where the code inside changes more than the state of Keras networks.
        """
        variables = self.template.keras_variables
        with substituted(variables, slices) as assigned:
            yield assigned
        allowed = self.template.changed_by_calls
        refuse_assignments(assigned, variables, allowed, f"A step of {self.template.name}")

    def change(self, change: Callable, value, stacked: Sequence) -> tuple:
        """Calls `change(value) -> value` on each step in turn.

        Returns:
          The last value, and the stacked parameters with what the calls assigned.
        """
        run = functools.partial(self._changed, change)
        if not self.unroll:
            # As a graph: eagerly, step by step, a deep flow would take seconds. A `tf.function`
            # that is called would warn of retracing where a program makes a few flows.
            run = tf.function(run, autograph=False).get_concrete_function(value, stacked)
        return run(value, stacked)

    def _changed(self, change: Callable, value, stacked) -> tuple:
        variables = self.template.keras_variables

        def step(index, slices, value, arrays):
            with substituted(variables, slices) as assigned:
                value = change(value)
            new = [assigned.get(i, before) for i, before in enumerate(slices)]
            return value, [array.write(index, v) for array, v in zip(arrays, new, strict=True)]

        state = (value, [self.array_of(p) for p in stacked])
        value, arrays = self.loop(step, state, stacked, backwards=False)
        return value, [array.stack() for array in arrays]
