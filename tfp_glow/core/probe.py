"""What a step of a loop does beside its values, found by tracing it once."""

from __future__ import annotations

import re
from dataclasses import dataclass

import tensorflow as tf

from tfp_glow.core.passes import Pass
from tfp_glow.core.stack import Stack

__all__ = ["Findings", "probe"]

# Operations that draw other numbers each time; those of tf.random.stateless_* do not.
_RANDOM = re.compile("Random|Multinomial|TruncatedNormal|StatefulStandardNormal|Rng")


@dataclass(frozen=True)
class Findings:
    """What a step does beside its values.

    Attributes:
      assigned: Places of the template's variables that it assigns to.
      random: Types of its operations whose results cannot be replayed.
    """

    assigned: tuple[int, ...] = ()
    random: tuple[str, ...] = ()

    def refuse_randomness(self, name: str) -> None:
        """Raises where a step draws numbers that the rebuilt pass could not draw again."""
        if self.random:
            raise ValueError(
                f"make_step of {name} must return a step without random numbers of its own: "
                "with reversible=True they cannot be drawn again. Draw them from a "
                "keras.random.SeedGenerator that the network holds, as Keras' dropout does. "
                f"Received: a step with {list(self.random)}."
            )


def probe(stack: Stack, direction: Pass, value, condition, stacked: list) -> Findings:
    """Traces the template's pass, in Keras' phase of here and now, and throws the trace away."""
    assigned = {}

    def step(slices, value, condition):
        value, log_det, changes = stack.run_step(direction, slices, value, condition)
        assigned.update(changes)
        return value, log_det

    slices = [tf.TensorSpec(p.shape[1:], p.dtype) for p in stacked]
    inputs = [None if v is None else tf.TensorSpec.from_tensor(v) for v in (value, condition)]
    traced = tf.function(step, autograph=False).get_concrete_function(slices, *inputs)
    return Findings(tuple(sorted(assigned)), _random_operations(traced.graph))


def _random_operations(graph: tf.Graph) -> tuple[str, ...]:
    """Types of a graph's operations, in its functions too, whose results cannot be replayed."""
    graph_def = graph.as_graph_def()
    nodes = [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]
    types = {node.op for node in nodes if not node.op.startswith("Stateless")}
    return tuple(sorted(kind for kind in types if _RANDOM.search(kind)))
