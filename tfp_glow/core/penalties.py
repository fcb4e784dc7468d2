"""What a flow adds to its training loss beside the likelihood."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["add_penalty", "collected_penalties", "penalties_wanted"]

_collected: list | None = None
_graph: tf.Graph | None = None


@contextlib.contextmanager
def collected_penalties() -> Iterator[list]:
    """Collects the penalties of the densities computed inside, `[...]` an example, in nats.

    `FlowModel` adds their means to the loss of a training step.

    Example:

        with collected_penalties() as penalties:
            loss = -tf.reduce_mean(flow.log_prob(x))
        loss += sum(tf.reduce_mean(penalty) for penalty in penalties)
    """
    global _collected, _graph
    before = _collected, _graph
    _collected, _graph = [], tf.compat.v1.get_default_graph()
    try:
        yield _collected
    finally:
        _collected, _graph = before


def penalties_wanted() -> bool:
    """Whether somebody collects penalties."""
    return _collected is not None


def add_penalty(value, name: str) -> None:
    """Hands a penalty to whoever collects it.

    Raises:
      ValueError: Inside of a loop, from which it cannot be carried out.
    """
    if not tf.executing_eagerly() and tf.compat.v1.get_default_graph() is not _graph:
        raise ValueError(
            f"{name} has a penalty, which cannot leave a loop over depth. Build the loop with "
            "unroll=True, or without the penalty."
        )
    _collected.append(value)
