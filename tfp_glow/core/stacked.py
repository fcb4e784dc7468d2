"""Bijectors of equal structure, whose parameters are held in one stack."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.freezing import keras_flags
from tfp_glow.core.stack import Stack

__all__ = ["StackedBijector"]


class StackedBijector(FlowBijector):
    """A bijector made of others that differ in their variables alone.

    The variables of all of them are stacked in variables of shape `[depth, ...]`, and a template,
    the first of them, runs on slices; see `Stack`. A subclass calls `stack_parts` in its
    constructor and says in its two methods how values go through the parts.
    """

    _TF_MODULE_IGNORED_PROPERTIES = frozenset(
        {"_stack"} | FlowBijector._TF_MODULE_IGNORED_PROPERTIES
    )

    def stack_parts(
        self, parts: Sequence[FlowBijector], argument: str, *, unroll: bool = False
    ) -> None:
        """Takes the parts' variables over.

        Args:
          parts: The bijectors.
          argument: What they are to the subclass's caller, for errors.
          unroll: Whether loops over them are written out.

        Raises:
          ValueError: If they differ in structure, or hold variables that are not Keras variables.
        """
        for part in parts:
            _check_variables(part, argument)
        variables_of_parts = [part.keras_variables for part in parts]
        _check_equal_structure(variables_of_parts, argument)
        # The template's own variables are no part of this bijector.
        self.__dict__["_stack"] = Stack(parts[0], len(parts), unroll)
        self._opaque = parts[0].is_opaque
        for index, same in enumerate(zip(*variables_of_parts, strict=True)):
            self._add_stacked(index, same)

    def _add_stacked(self, index: int, same: Sequence) -> None:
        """Adds a variable `[depth, ...]` for one variable of each part."""
        first = same[0]
        stacked = self.add_variable(
            np.stack([v.numpy() for v in same]),
            name=f"{index:03d}_{first.name}",
            trainable=first.trainable,
            dtype=first.dtype,
            aggregation=first.aggregation,
        )
        if first.regularizer is not None:
            stacked.regularizer = functools.partial(_sum_over_parts, first.regularizer)

    def own_keras_flags(self) -> dict[int, tuple[keras.Variable, ...]]:
        """The stacked variables, and the template's, whose layers can be frozen."""
        template = self._stack.template
        flags = keras_flags(template)
        pairs = zip(self.keras_variables, template.keras_variables, strict=True)
        return {id(stacked.value): (stacked, *flags[id(v.value)]) for stacked, v in pairs}

    def stacked_parameters(self) -> list[tf.Tensor]:
        """The values of the stacked variables, in the template's order."""
        return [tf.convert_to_tensor(v) for v in self.keras_variables]

    def change_each(self, change: Callable, value):
        """Calls `change(value) -> value` for each part in turn, and keeps what it assigns."""
        value, changed = self._stack.change(change, value, self.stacked_parameters())
        for variable, new in zip(self.keras_variables, changed, strict=True):
            variable.assign(new)
        return value

    @property
    def num_classes(self) -> int | None:
        return self._stack.template.num_classes

    @property
    def has_null_class(self) -> bool:
        return self._stack.template.has_null_class

    @property
    def takes_guidance(self) -> bool:
        return self._stack.template.takes_guidance

    @property
    def log_det_is_estimate(self) -> bool:
        return self._stack.template.log_det_is_estimate

    @property
    def advances(self) -> bool:
        return self._stack.template.advances

    def advance(self) -> None:
        """Moves on what changes once a training step, in every part."""
        self._change_state(self._stack.template.advance)

    def converge(self) -> None:
        """Runs the power iterations of Lipschitz networks until their norms stand still."""
        self._change_state(self._stack.template.converge)

    def _change_state(self, method: Callable[[], None]) -> None:
        def change(nothing):
            method()
            return nothing

        if self.advances:
            self.change_each(change, tf.zeros([]))

    @property
    def initialized_flags(self) -> list:
        return self._stacked_of(self._stack.template.initialized_flags)

    @property
    def changed_by_calls(self) -> tuple:
        return tuple(self._stacked_of(self._stack.template.changed_by_calls))

    def _stacked_of(self, variables: Iterable) -> list:
        """Those that stand for the given variables of the template."""
        chosen = {id(variable) for variable in variables}
        pairs = zip(self._stack.template.keras_variables, self.keras_variables, strict=True)
        return [stacked for variable, stacked in pairs if id(variable) in chosen]


def _sum_over_parts(regularizer: Callable, stacked) -> tf.Tensor:
    return tf.add_n([regularizer(v) for v in tf.unstack(tf.convert_to_tensor(stacked))])


def _check_variables(part: FlowBijector, argument: str) -> None:
    known = {id(v.value) for v in part.keras_variables}
    unknown = [v.name for v in part.variables if id(v) not in known]
    if unknown:
        raise ValueError(
            f"{argument} must give bijectors whose variables are all Keras variables, which can be "
            f"substituted. Received: {part.name} with tf.Variables {unknown}."
        )


def _check_equal_structure(variables_of_parts: Sequence, argument: str) -> None:
    signatures = [[(tuple(v.shape), v.dtype) for v in part] for part in variables_of_parts]
    for index, signature in enumerate(signatures):
        if signature != signatures[0]:
            raise ValueError(
                f"{argument} must give bijectors of equal structure. Received: number 0 with "
                f"variables {signatures[0]}, number {index} with {signature}."
            )
