"""Steps of equal structure, run one after the other on stacked parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.passes import FORWARD, Pass

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
        """Calls `step(slices, *state) -> state` for each step in turn."""
        if self.unroll:
            indices = range(self.depth)
            for index in reversed(indices) if backwards else indices:
                state = step([p[index] for p in stacked], *state)
            return state
        # Reading from a TensorArray has a gradient that writes one element, where slicing the
        # stacked tensor would add up `depth` tensors of its full size.
        arrays = [self.array_of(p).unstack(p) for p in stacked]

        def body(count, *state):
            index = self.depth - 1 - count if backwards else count
            return count + 1, *step([array.read(index) for array in arrays], *state)

        _, *state = tf.while_loop(
            lambda count, *_: count < self.depth,
            body,
            (tf.constant(0), *state),
            maximum_iterations=self.depth,
        )
        return tuple(state)

    def array_of(self, stacked) -> tf.TensorArray:
        """An array that takes a slice of a stacked parameter for each step."""
        return tf.TensorArray(stacked.dtype, self.depth, element_shape=stacked.shape[1:])

    def run_step(self, direction: Pass, slices, value, condition):
        """The template's pass under one step's parameters."""
        with self.at(slices):
            return direction(self.template, value, condition)

    @contextlib.contextmanager
    def at(self, slices) -> Iterator[None]:
        """Substitutes the template's variables; raises where the code inside changes one."""
        variables = self.template.keras_variables
        with keras.StatelessScope(list(zip(variables, slices, strict=True))) as scope:
            given = [scope.get_current_value(v) for v in variables]
            yield
        for variable, before in zip(variables, given, strict=True):
            if scope.get_current_value(variable) is not before:
                raise ValueError(
                    f"A step of {self.template.name} changed its variable {variable.path!r} while "
                    "it was evaluated, as batch normalization and dropout do in training. Use "
                    "layers whose state does not change, such as layer normalization."
                )

    def change(self, change: Callable, value, stacked: Sequence) -> tuple:
        """Calls `change(value) -> value` on each step in turn.

        Returns:
          The last value, and the stacked parameters with what the calls assigned.
        """
        run = self._changed
        if not self.unroll:
            # As a graph: eagerly, step by step, a deep flow would take seconds.
            run = tf.function(run, autograph=False)
        return run(change, value, stacked)

    def _changed(self, change: Callable, value, stacked) -> tuple:
        variables = self.template.keras_variables

        def step(slices, index, value, changed):
            with keras.StatelessScope(list(zip(variables, slices, strict=True))) as scope:
                value = change(value)
            new = [scope.get_current_value(variable) for variable in variables]
            changed = [array.write(index, v) for array, v in zip(changed, new, strict=True)]
            return index + 1, value, changed

        state = (tf.constant(0), value, [self.array_of(p) for p in stacked])
        _, value, changed = self.loop(step, state, stacked, backwards=False)
        return value, [array.stack() for array in changed]
