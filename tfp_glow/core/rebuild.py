"""Gradients of a pass from its output alone: the input is rebuilt, not stored."""

from __future__ import annotations

import re
from dataclasses import dataclass

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.bijector import Direction, transform

__all__ = [
    "Rebuilt",
    "differentiable",
    "opposite",
    "random_operations",
    "read_tape",
    "rebuild_and_differentiate",
    "trainable_tensors",
]

tfb = tfp.bijectors

# Operations that draw other numbers each time; those of tf.random.stateless_* do not.
_RANDOM = re.compile("Random|Multinomial|TruncatedNormal|StatefulStandardNormal|Rng")


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


def rebuild_and_differentiate(
    bijector: tfb.Bijector,
    direction: Direction,
    output,
    condition,
    gradients: tuple,
    *,
    event_ndims: int,
) -> Rebuilt:
    """Undoes one pass of a bijector and differentiates it.

    Args:
      bijector: A bijector of this package or of TFP. One that can share work between the two,
        as a coupling shares its network's evaluation, has a method
        `_rebuild_and_differentiate(direction, output, condition, gradients)`.
      direction: Direction of the pass that gave `output`.
      output: What the pass gave.
      condition: What it was conditioned on, or None.
      gradients: Gradients of the loss with respect to the output and to the log-det.
      event_ndims: Dimensions of an output event over which the log-det was summed.
    """
    shared = getattr(bijector, "_rebuild_and_differentiate", None)
    own_ndims = getattr(bijector, f"{opposite(direction)}_min_event_ndims")
    if shared is not None and own_ndims == event_ndims:
        return shared(direction, output, condition, gradients)
    # TFP's cache must not take the rebuilt input for one whose output it knows.
    value = tf.identity(transform(bijector, opposite(direction), output, condition)[0])
    event_ndims = getattr(bijector, f"{opposite(direction)}_event_ndims")(event_ndims)
    variables = trainable_tensors(bijector)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([value, *variables.values(), *differentiable(condition)])
        result = transform(bijector, direction, value, condition, event_ndims=event_ndims)
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
    variables = getattr(bijector, "keras_variables", ())
    return {id(v): tf.convert_to_tensor(v) for v in variables if v.trainable}


def differentiable(condition) -> list:
    """The condition in a list where a gradient can flow to it, else an empty list."""
    return [] if condition is None or not condition.dtype.is_floating else [condition]


def opposite(direction: Direction) -> Direction:
    """The other direction."""
    return "inverse" if direction == "forward" else "forward"


def random_operations(graph: tf.Graph) -> list[str]:
    """Types of a graph's operations, in its functions too, whose results cannot be replayed."""
    graph_def = graph.as_graph_def()
    nodes = [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]
    types = {node.op for node in nodes if not node.op.startswith("Stateless")}
    return sorted(kind for kind in types if _RANDOM.search(kind))
