"""Random numbers in graphs: what a pass draws and could not draw again."""

from __future__ import annotations

import re

import tensorflow as tf

__all__ = ["random_operations"]

# Operations that draw other numbers each time; those of tf.random.stateless_* do not.
_RANDOM = re.compile("Random|Multinomial|TruncatedNormal|StatefulStandardNormal|Rng")


def random_operations(graph: tf.Graph) -> list[str]:
    """Types of a graph's operations, in its functions too, whose results cannot be replayed."""
    graph_def = graph.as_graph_def()
    nodes = [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]
    types = {node.op for node in nodes if not node.op.startswith("Stateless")}
    return sorted(kind for kind in types if _RANDOM.search(kind))
