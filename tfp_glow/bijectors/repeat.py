"""A loop over equal steps whose graph does not grow with depth."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector, initialize_part
from tfp_glow.core.checks import check_bool, check_callable, check_positive_int
from tfp_glow.core.passes import FORWARD, INVERSE, Pass, broadcast_batch
from tfp_glow.core.probe import Findings, probe
from tfp_glow.core.reversible import run_reversibly
from tfp_glow.core.stacked import StackedBijector

__all__ = ["Repeat"]


class Repeat(StackedBijector):
    """`depth` steps of equal structure, each with parameters of its own, run in one loop.

        inverse:  h_0 = x, h_i = step_i^-1(h_{i-1}), z = h_depth
        forward:  the steps backwards; the log-dets add up.

    The parameters of all steps are stacked in variables of shape `[depth, ...]`. One template
    step runs on slices of them in a `tf.while_loop`: the graph, its tracing and its
    compilation stay the same size whatever the depth.

    The gradient stores what every step computed. `reversible=True` stores nothing: backwards,
    each step's input is rebuilt from its output, so that memory does not grow with depth
    either. A coupling's network is evaluated once more for that, at 4/3 of the arithmetic.
    Rounding errors of the inverses add up over the steps. Values and gradients are otherwise those
    of the plain loop; gradients of gradients are not available.

    Networks of a step may hold layers that change state in training. Batch normalization updates
    its statistics once a pass, and dropout draws the same numbers where the gradient evaluates the
    network again. Random numbers from elsewhere than a `keras.random.SeedGenerator` could not be
    drawn again, and are refused.

    Args:
      make_step: Function of no arguments that returns a new step; called `depth` times, so that
        each step is initialized independently. A step maps a shape to itself. Steps differ in
        their variables alone; all else, such as a random order, is as in the first one.
      depth: Number of steps.
      reversible: Whether the gradient rebuilds activations instead of storing them.
      unroll: Whether to write the steps out one after the other. Values and gradients are
        the same.
      name: Name of the bijector.

    Shapes: those of a step.

    Raises:
      TypeError: If `make_step` returns no `FlowBijector`.
      ValueError: If `depth` is no positive int, the steps differ in structure, a step holds
        variables that are not Keras variables, a step changes other variables than those of its
        networks' layers when it is evaluated, or a reversible step draws random numbers that
        cannot be drawn again.

    Example:

        flow = Repeat(lambda: GlowStep(4, MLP(4, input_shape=(2,)), event_ndims=1), depth=32)
        z = flow.initialize(x)
    """

    def __init__(
        self,
        make_step: Callable[[], FlowBijector],
        depth: int,
        *,
        reversible: bool = False,
        unroll: bool = False,
        name: str | None = None,
    ):
        check_callable(make_step, "make_step")
        check_positive_int(depth, "depth")
        check_bool(reversible, "reversible")
        check_bool(unroll, "unroll")
        steps = [make_step() for _ in range(depth)]
        step = steps[0]
        _check_step(step)
        super().__init__(
            forward_min_event_ndims=step.forward_min_event_ndims,
            inverse_min_event_ndims=step.inverse_min_event_ndims,
            condition_shape=step.condition_shape,
            dtype=step.dtype,
            is_constant_jacobian=step.is_constant_jacobian,
            name=name,
        )
        self._reversible = reversible
        self._findings = {}  # Of the step, by Keras' phase, from the first pass on.
        self.stack_parts(steps, "make_step", unroll=unroll)

    @property
    def depth(self) -> int:
        """Number of steps."""
        return self._stack.depth

    @contextlib.contextmanager
    def step_at(self, index: int) -> Iterator[FlowBijector]:
        """The step at an index, with its own parameters, inside of a `with` statement.

        Example:

            with repeat.step_at(3) as step:
                h = step.inverse(x)
        """
        if not 0 <= index < self.depth:
            raise ValueError(f"index must be from 0 to {self.depth - 1}. Received: {index!r}.")
        with self._stack.at([p[index] for p in self.stacked_parameters()]):
            yield self._stack.template

    def _forward_and_log_det(self, z, condition=None):
        return self._run(FORWARD, z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._run(INVERSE, x, condition)

    def _run(self, direction: Pass, value, condition):
        stacked = self.stacked_parameters()
        assigned = self._found(direction, value, condition, stacked).assigned

        def plain(value, condition, stacked):
            return self._steps(direction, value, condition, stacked, assigned)

        run = plain
        if self._reversible:
            run = functools.partial(run_reversibly, plain, self._stack, direction)
        value, log_det, *new = run(value, condition, stacked)
        variables = self.keras_variables if assigned else ()
        for index, state in zip(assigned, new, strict=True):
            variables[index].assign(state)
        return value, log_det

    def _found(self, direction: Pass, value, condition, stacked) -> Findings:
        """What a step does beside its values in the phase of here and now."""
        if not (self._reversible or self._stack.template.changed_by_calls):
            return Findings()
        phase = self._stack.template.phase()
        if phase not in self._findings:
            found = probe(self._stack, direction, value, condition, stacked)
            if self._reversible:
                found.refuse_randomness(self.name)
            self._findings[phase] = found
        return self._findings[phase]

    def _steps(self, direction: Pass, value, condition, stacked, assigned: Sequence[int]) -> tuple:
        """The last value, the log-det, and the new stacked state at the places `assigned`."""

        def step(index, slices, value, log_det, arrays):
            new, change, changes = self._stack.run_step(direction, slices, value, condition)
            new = tf.ensure_shape(new, value.shape)
            log_det += tf.ensure_shape(change, log_det.shape)
            arrays = [
                array.write(index, changes[i]) for array, i in zip(arrays, assigned, strict=True)
            ]
            return new, log_det, arrays

        arrays = [self._stack.array_of(stacked[i]) for i in assigned]
        state = (value, broadcast_batch(0.0, value, self.forward_min_event_ndims), arrays)
        backwards = self._stack.is_backwards(direction)
        value, log_det, arrays = self._stack.loop(step, state, stacked, backwards=backwards)
        return value, log_det, *(array.stack() for array in arrays)

    def _initialize(self, x, condition=None):
        def initialize(x):
            return tf.ensure_shape(initialize_part(self._stack.template, x, condition), x.shape)

        return self.change_each(initialize, x)


def _check_step(step) -> None:
    if not isinstance(step, FlowBijector):
        raise TypeError(f"make_step must return a FlowBijector. Received: {step!r}.")
