"""Gradients of a pass from its output alone: the input is rebuilt, not stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.holder import Holder
from tfp_glow.core.passes import Pass

__all__ = [
    "Rebuilds",
    "Rebuilt",
    "differentiable",
    "read_tape",
    "rebuild_and_differentiate",
    "trainable_tensors",
]

tfb = tfp.bijectors


@dataclass(frozen=True)
class Rebuilt:
    """A pass's input, rebuilt from its output, and the gradients of a loss at that input.

    Attributes:
      value: The input.
      gradient: Gradient with respect to it.
      variables: Gradients with respect to trainable Keras variables, by the variables' ids.
      condition: Gradient with respect to the condition, or None where it has none.
    """

    value: tf.Tensor
    gradient: tf.Tensor
    variables: dict
    condition: tf.Tensor | None


@runtime_checkable
class Rebuilds(Protocol):
    """A bijector that shares work between the two, as a coupling its network's evaluation."""

    def rebuild_and_differentiate(
        self, direction: Pass, output, condition, gradients: tuple
    ) -> Rebuilt: ...


def rebuild_and_differentiate(
    bijector: tfb.Bijector,
    direction: Pass,
    output,
    condition,
    gradients: tuple,
    *,
    event_ndims: int,
) -> Rebuilt:
    """Undoes one pass of a bijector and differentiates it.

    Args:
      bijector: A bijector of this package or of TFP.
      direction: Direction of the pass that gave `output`.
      output: What the pass gave.
      condition: What it was conditioned on, or None.
      gradients: Gradients of the loss with respect to the output and to the log-det.
      event_ndims: Dimensions of an output event over which the log-det was summed.
    """
    back = direction.opposite
    if isinstance(bijector, Rebuilds) and back.min_event_ndims(bijector) == event_ndims:
        return bijector.rebuild_and_differentiate(direction, output, condition, gradients)
    value, _ = back(bijector, output, condition)
    variables = trainable_tensors(bijector)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([value, *variables.values(), *differentiable(condition)])
        event_ndims = back.event_ndims(bijector, event_ndims)
        result = direction(bijector, value, condition, event_ndims=event_ndims)
    return read_tape(tape, result, gradients, value, variables, condition)


def read_tape(tape, result, gradients, value, variables: dict, condition) -> Rebuilt:
    """Reads the gradients of `result` off a tape that has watched all of the sources."""
    sources = [value, *variables.values(), *differentiable(condition)]
    gradient, *rest = tape.gradient(
        result, sources, gradients, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    of_variables = dict(zip(variables, rest[: len(variables)], strict=True))
    of_condition = rest[-1] if differentiable(condition) else None
    return Rebuilt(value, gradient, of_variables, of_condition)


def trainable_tensors(bijector: tfb.Bijector) -> dict:
    """The current tensors of the trainable Keras variables, by the variables' ids."""
    variables = bijector.keras_variables if isinstance(bijector, Holder) else ()
    return {id(v): tf.convert_to_tensor(v) for v in variables if v.trainable}


def differentiable(condition) -> list:
    """The condition in a list where a gradient can flow to it, else an empty list."""
    return [] if condition is None or not condition.dtype.is_floating else [condition]
