"""A loop over equal steps whose graph does not grow with depth."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.core.bijector import Direction, FlowBijector, broadcast_batch, transform
from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.rebuild import (
    differentiable,
    random_operations,
    rebuild_and_differentiate,
)

__all__ = ["Repeat"]


class Repeat(FlowBijector):
    """`depth` steps of equal structure, each with parameters of its own, run in one loop.

        inverse:  h_0 = x, h_i = step_i^-1(h_{i-1}), z = h_depth
        forward:  the steps backwards; the log-dets add up.

    The parameters of all steps are stacked in variables of shape `[depth, ...]`. One template
    step runs on slices of them in a `tf.while_loop`: the graph, its tracing and its
    compilation stay the same size whatever the depth.

    The gradient stores what every step computed. `reversible=True` stores nothing: backwards,
    each step's input is rebuilt from its output, so that memory does not grow with depth
    either. A coupling's network is evaluated once more for that, at 4/3 of the arithmetic.
    Rounding errors of the inverses add up over the steps, and a step that draws random numbers
    is refused, since they could not be drawn again. Values and gradients are otherwise those of
    the plain loop; gradients of gradients are not available.

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
        variables that are not Keras variables, a step changes state when it is evaluated, as
        batch normalization and dropout do in training, or a reversible step draws random numbers.

    Example:

        flow = Repeat(lambda: GlowStep(4, MLP(4, input_shape=(2,)), event_ndims=1), depth=32)
        z = flow.initialize(x)
    """

    _TF_MODULE_IGNORED_PROPERTIES = frozenset(
        {"_step"} | FlowBijector._TF_MODULE_IGNORED_PROPERTIES
    )

    def __init__(
        self,
        make_step: Callable[[], FlowBijector],
        depth: int,
        *,
        reversible: bool = False,
        unroll: bool = False,
        name: str | None = None,
    ):
        parameters = dict(locals())
        check_positive_int(depth, "depth")
        steps = [make_step() for _ in range(depth)]
        step = steps[0]
        _check_step(step)
        super().__init__(
            forward_min_event_ndims=step.forward_min_event_ndims,
            inverse_min_event_ndims=step.inverse_min_event_ndims,
            condition_shape=step.condition_shape,
            dtype=step.dtype,
            is_constant_jacobian=step.is_constant_jacobian,
            parameters=parameters,
            name=name,
        )
        self._depth = depth
        self._reversible = reversible
        self._unroll = unroll
        self._can_be_replayed = False  # Not known before the first pass.
        self._step = self._no_dependency(step)
        self._stack([s.keras_variables for s in steps])

    def _stack(self, variables_of_steps) -> None:
        """Adds a variable `[depth, ...]` for each variable of a step, in the template's order."""
        _check_equal_structure(variables_of_steps)
        for index, same in enumerate(zip(*variables_of_steps, strict=True)):
            self.add_variable(
                np.stack([v.numpy() for v in same]),
                name=f"{index:03d}_{same[0].name}",
                trainable=same[0].trainable,
                dtype=same[0].dtype,
            )

    @property
    def depth(self) -> int:
        """Number of steps."""
        return self._depth

    @contextlib.contextmanager
    def step_at(self, index: int) -> Iterator[FlowBijector]:
        """The step at an index, with its own parameters, inside of a `with` statement.

        Example:

            with repeat.step_at(3) as step:
                h = step.inverse(x)
        """
        if not 0 <= index < self._depth:
            raise ValueError(f"index must be from 0 to {self._depth - 1}. Received: {index!r}.")
        with self._stateless([tf.convert_to_tensor(v)[index] for v in self.keras_variables]):
            yield self._step

    def _forward_and_log_det(self, z, condition=None):
        return self._run("forward", z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._run("inverse", x, condition)

    def _run(self, direction: Direction, value, condition):
        parameters = [tf.convert_to_tensor(v) for v in self.keras_variables]
        if self._reversible:
            return self._run_reversibly(direction, value, condition, parameters)
        return self._steps(direction, value, condition, parameters)

    def _steps(self, direction: Direction, value, condition, parameters):
        """All steps on one value, with the sum of their log-dets."""

        def step(slices, value, log_det):
            new_value, change = self._call_step(direction, slices, value, condition)
            new_value = tf.ensure_shape(new_value, value.shape)
            return new_value, log_det + tf.ensure_shape(change, log_det.shape)

        log_det = broadcast_batch(0.0, value, self.forward_min_event_ndims)
        return self._loop(step, (value, log_det), parameters, backwards=direction == "forward")

    def _loop(self, step, state: tuple, parameters, *, backwards: bool) -> tuple:
        """Calls `step(slices of the parameters, *state) -> state` for each step in turn."""
        if self._unroll:
            indices = range(self._depth)
            for index in reversed(indices) if backwards else indices:
                state = step([p[index] for p in parameters], *state)
            return state
        # Reading from a TensorArray has a gradient that writes one element, where slicing the
        # stacked tensor would add up `depth` tensors of its full size.
        arrays = [
            tf.TensorArray(p.dtype, self._depth, element_shape=p.shape[1:]).unstack(p)
            for p in parameters
        ]

        def body(count, *state):
            index = self._depth - 1 - count if backwards else count
            return count + 1, *step([array.read(index) for array in arrays], *state)

        _, *state = tf.while_loop(
            lambda count, *_: count < self._depth,
            body,
            (tf.constant(0), *state),
            maximum_iterations=self._depth,
        )
        return tuple(state)

    def _run_reversibly(self, direction: Direction, value, condition, parameters):
        """The same pass with a gradient that rebuilds each step's input from its output."""
        self._refuse_randomness(direction, value, condition, parameters)
        conditions = differentiable(condition)

        @tf.custom_gradient
        def run(value, conditions, parameters):
            given = conditions[0] if conditions else condition
            output, log_det = self._steps(direction, value, given, parameters)

            def gradient(*upstream):
                return self._gradient_from(output, direction, given, parameters, upstream)

            return (output, log_det), gradient

        return run(value, conditions, parameters)

    def _refuse_randomness(self, direction: Direction, value, condition, parameters) -> None:
        if self._can_be_replayed:
            return
        step = tf.function(functools.partial(self._call_step, direction), autograph=False)
        slices = [tf.TensorSpec(p.shape[1:], p.dtype) for p in parameters]
        inputs = [None if v is None else tf.TensorSpec.from_tensor(v) for v in (value, condition)]
        found = random_operations(step.get_concrete_function(slices, *inputs).graph)
        if found:
            raise ValueError(
                f"make_step of {self.name} must return a step without random numbers of its own: "
                f"with reversible=True they cannot be drawn again. Received: a step with {found}."
            )
        self._can_be_replayed = True

    def _gradient_from(self, output, direction: Direction, condition, parameters, upstream):
        """Gradients with respect to the input, the condition and the stacked parameters."""
        log_det_gradient = upstream[1]
        trainable = [i for i, v in enumerate(self._step.keras_variables) if v.trainable]
        collected = tuple(
            tf.TensorArray(parameters[i].dtype, self._depth, element_shape=parameters[i].shape[1:])
            for i in trainable
        )

        def step(slices, index, value, gradient, of_condition, collected):
            rebuilt = self._rebuild_step(
                direction, slices, value, condition, (gradient, log_det_gradient)
            )
            ids = [id(self._step.keras_variables[i]) for i in trainable]
            collected = tuple(
                array.write(index, rebuilt.variables[key])
                for array, key in zip(collected, ids, strict=True)
            )
            of_condition = [c + rebuilt.condition for c in of_condition]
            change = 1 if direction == "forward" else -1
            return index + change, rebuilt.value, rebuilt.gradient, of_condition, collected

        start = tf.constant(0 if direction == "forward" else self._depth - 1)
        of_condition = [tf.zeros_like(c) for c in differentiable(condition)]
        state = (start, output, upstream[0], of_condition, collected)
        state = self._loop(step, state, parameters, backwards=direction == "inverse")
        _, _, gradient, of_condition, collected = state
        stacked = dict(zip(trainable, (array.stack() for array in collected), strict=True))
        return gradient, of_condition, [stacked.get(i) for i in range(len(parameters))]

    def _rebuild_step(self, direction, slices, value, condition, gradients):
        with self._stateless(slices):
            return rebuild_and_differentiate(
                self._step,
                direction,
                value,
                condition,
                gradients,
                event_ndims=self.forward_min_event_ndims,
            )

    def _call_step(self, direction: Direction, slices, value, condition):
        """The template step under one step's parameters."""
        with self._stateless(slices):
            return transform(self._step, direction, value, condition)

    @contextlib.contextmanager
    def _stateless(self, slices) -> Iterator[None]:
        """Substitutes the template's variables; raises where the code inside changes one."""
        variables = self._step.keras_variables
        with keras.StatelessScope(list(zip(variables, slices, strict=True))) as scope:
            given = [scope.get_current_value(v) for v in variables]
            yield
        for variable, before in zip(variables, given, strict=True):
            if scope.get_current_value(variable) is not before:
                raise ValueError(
                    f"A step of {self.name} changed its variable {variable.path!r} while it was "
                    "evaluated, as batch normalization and dropout do in training. Use layers "
                    "whose state does not change, such as layer normalization."
                )

    def _initialize(self, x, condition=None):
        def initialize(x):
            return tf.ensure_shape(self._step._initialize(x, condition), x.shape)

        return self._change_steps(initialize, x)

    @property
    def advances(self) -> bool:
        """Whether `advance` does anything."""
        return self._step.advances

    def advance(self) -> None:
        """Moves on what changes once a training step, in every step of the loop."""
        if self.advances:
            self._change_steps(self._call_on_step(self._step.advance), tf.zeros([]))

    def converge(self) -> None:
        """Runs the power iterations of Lipschitz networks until their norms stand still."""
        if self.advances:
            self._change_steps(self._call_on_step(self._step.converge), tf.zeros([]))

    @staticmethod
    def _call_on_step(method: Callable) -> Callable:
        def change(nothing):
            method()
            return nothing

        return change

    def _change_steps(self, change: Callable, value):
        """Calls `change(value) -> value` for each step in turn, and keeps what it assigns."""
        parameters = [tf.convert_to_tensor(v) for v in self.keras_variables]
        run = functools.partial(self._changed_steps, change)
        if not self._unroll:
            # As a graph: eagerly, step by step, a deep flow would take seconds.
            run = tf.function(run, autograph=False).get_concrete_function(value, parameters)
        value, changed = run(value, parameters)
        for variable, new in zip(self.keras_variables, changed, strict=True):
            variable.assign(new)
        return value

    def _changed_steps(self, change: Callable, value, parameters):
        """The value after all steps, and the stacked variables."""
        variables = self._step.keras_variables

        def step(slices, index, value, changed):
            with keras.StatelessScope(list(zip(variables, slices, strict=True))) as scope:
                value = change(value)
            new = [scope.get_current_value(variable) for variable in variables]
            changed = [array.write(index, v) for array, v in zip(changed, new, strict=True)]
            return index + 1, value, changed

        changed = [
            tf.TensorArray(p.dtype, self._depth, element_shape=p.shape[1:]) for p in parameters
        ]
        state = (tf.constant(0), value, changed)
        _, value, changed = self._loop(step, state, parameters, backwards=False)
        return value, [array.stack() for array in changed]

    def _initialized_flags(self) -> list:
        flags = {id(flag) for flag in self._step._initialized_flags()}
        pairs = zip(self._step.keras_variables, self.keras_variables, strict=True)
        return [stacked for variable, stacked in pairs if id(variable) in flags]


def _check_step(step) -> None:
    if not isinstance(step, FlowBijector):
        raise TypeError(f"make_step must return a FlowBijector. Received: {step!r}.")
    known = {id(v.value) for v in step.keras_variables}
    unknown = [v.name for v in step.variables if id(v) not in known]
    if unknown:
        raise ValueError(
            "make_step must return a step whose variables are all Keras variables, which the loop "
            f"can substitute. Received: {step.name} with tf.Variables {unknown}."
        )


def _check_equal_structure(variables_of_steps) -> None:
    signatures = [[(tuple(v.shape), v.dtype) for v in step] for step in variables_of_steps]
    for index, signature in enumerate(signatures):
        if signature != signatures[0]:
            raise ValueError(
                "make_step must return steps of equal structure. Received: step 0 with variables "
                f"{signatures[0]}, step {index} with {signature}."
            )
