"""A loop over equal steps whose graph does not grow with depth."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.base import Direction, FlowBijector, broadcast_batch, transform
from tfp_glow.bijectors.checks import check_positive_int

__all__ = ["Repeat"]


class Repeat(FlowBijector):
    """`depth` steps of equal structure, each with parameters of its own, run in one loop.

        inverse:  h_0 = x, h_i = step_i^-1(h_{i-1}), z = h_depth
        forward:  the steps backwards; the log-dets add up.

    The parameters of all steps are stacked in variables of shape `[depth, ...]`. One template
    step runs on slices of them in a `tf.while_loop`: the graph, its tracing and its
    compilation stay the same size whatever the depth.

    Args:
      make_step: Function of no arguments that returns a new step; called `depth` times, so that
        each step is initialized independently. A step maps a shape to itself.
      depth: Number of steps.
      unroll: Whether to write the steps out one after the other. Values and gradients are
        the same.
      name: Name of the bijector.

    Shapes: those of a step.

    Raises:
      TypeError: If `make_step` returns no `FlowBijector`.
      ValueError: If `depth` is no positive int, the steps differ in structure, a step holds
        variables that are not Keras variables, or a step changes state when it is evaluated,
        as batch normalization does in training.

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
        self._unroll = unroll
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

    def _forward_and_log_det(self, z, condition=None):
        return self._run("forward", z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._run("inverse", x, condition)

    def _run(self, direction: Direction, value, condition):
        log_det = broadcast_batch(0.0, value, self.forward_min_event_ndims)
        loop = self._unrolled if self._unroll else self._looped
        return loop(direction, value, log_det, condition)

    def _unrolled(self, direction: Direction, value, log_det, condition):
        order = range(self._depth)
        for index in order if direction == "inverse" else reversed(order):
            parameters = [v[index] for v in self.keras_variables]
            value, change = self._call_step(direction, parameters, value, condition)
            log_det += change
        return value, log_det

    def _looped(self, direction: Direction, value, log_det, condition):
        # Reading from a TensorArray has a gradient that writes one element, where slicing the
        # stacked variable would add up `depth` tensors of its full size.
        arrays = [
            tf.TensorArray(v.dtype, self._depth, element_shape=v.shape[1:]).unstack(v)
            for v in self.keras_variables
        ]

        def body(count, value, log_det):
            index = count if direction == "inverse" else self._depth - 1 - count
            parameters = [array.read(index) for array in arrays]
            new_value, change = self._call_step(direction, parameters, value, condition)
            new_value = tf.ensure_shape(new_value, value.shape)
            return count + 1, new_value, log_det + tf.ensure_shape(change, log_det.shape)

        _, value, log_det = tf.while_loop(
            lambda count, *_: count < self._depth,
            body,
            (tf.constant(0), value, log_det),
            maximum_iterations=self._depth,
        )
        return value, log_det

    def _call_step(self, direction: Direction, parameters, value, condition):
        """The template step under one step's parameters."""
        variables = self._step.keras_variables
        with keras.StatelessScope(list(zip(variables, parameters, strict=True))) as scope:
            given = [scope.get_current_value(v) for v in variables]
            result = transform(self._step, direction, value, condition)
        for variable, before in zip(variables, given, strict=True):
            if scope.get_current_value(variable) is not before:
                raise ValueError(
                    f"A step of {self.name} changed its variable {variable.path!r} while it was "
                    "evaluated, as batch normalization and dropout do in training. Use layers "
                    "whose state does not change, such as layer normalization."
                )
        return result

    def _initialize(self, x, condition=None):
        variables = self._step.keras_variables
        updated = [list(tf.unstack(v)) for v in self.keras_variables]
        for index in range(self._depth):
            slices = [values[index] for values in updated]
            with keras.StatelessScope(list(zip(variables, slices, strict=True))) as scope:
                x = self._step._initialize(x, condition)
            for values, variable in zip(updated, variables, strict=True):
                values[index] = scope.get_current_value(variable)
        for stacked, values in zip(self.keras_variables, updated, strict=True):
            stacked.assign(tf.stack(values))
        return x

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
