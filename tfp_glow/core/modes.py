"""The modes that are in force where a value is computed: evaluation, draw, penalties and others.

They stand in one context variable, so that threads and coroutines do not see each other's. The
threads in which tf.distribute runs its replicas start without a context; they are known by the
default graph, which they share with the thread that started them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal

import tensorflow as tf

__all__ = [
    "Backend",
    "Modes",
    "collected_penalties",
    "current",
    "draw",
    "evaluation",
    "guided",
    "lower_for",
    "passed_fields",
    "reinstated",
]

Backend = Literal["cpu", "cpu_xla", "accelerator"]


@dataclasses.dataclass(frozen=True, eq=False)
class Modes:
    """All modes; one instance stands for one stay in them.

    Attributes:
      evaluating: Whether log-dets take their estimators' `evaluation_terms`.
      draw: Index of the noise, an int or a scalar tensor.
      guidance: Weight of classifier-free guidance, None for none; see `core/guidance.py`.
      penalties: What collects the penalties of training, if anything does.
      fields: What collects the vector fields that are passed without moving, if anything does.
      backend: The backend to trace for, None for that of this machine.
    """

    evaluating: bool = False
    draw: int | tf.Tensor = 0
    guidance: float | tf.Tensor | None = None
    penalties: Penalties | None = None
    fields: list | None = None
    backend: Backend | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Penalties:
    """Penalties `[...]` an example, in nats, and the graph in which they are collected."""

    graph: tf.Graph
    collected: list = dataclasses.field(default_factory=list)


_OUTSIDE = Modes()
_modes: ContextVar[Modes | None] = ContextVar("tfp_glow_modes", default=None)
_modes_of_graphs: weakref.WeakKeyDictionary[tf.Graph, Modes] = weakref.WeakKeyDictionary()


def current() -> Modes:
    """The modes in force here; the same instance as long as none is entered or left."""
    return _modes.get() or _modes_of_the_starting_thread() or _OUTSIDE


@contextlib.contextmanager
def evaluation() -> Iterator[None]:
    """Log-dets traced or computed inside take their estimators' `evaluation_terms`, all exact.

    `FlowModel` evaluates and predicts so.

    Example:

        with evaluation():
            log_prob = flow.log_prob(x)
    """
    with _in_force(evaluating=True):
        yield


@contextlib.contextmanager
def draw(index: int | tf.Tensor) -> Iterator[None]:
    """Estimates traced or computed inside see noise of their own for each index.

    Example:

        with draw(3):
            log_prob = flow.log_prob(x)
    """
    with _in_force(draw=index):
        yield


@contextlib.contextmanager
def collected_penalties() -> Iterator[list]:
    """Collects the penalties of the densities computed inside, `[...]` an example, in nats.

    `FlowModel` adds their means to the loss of a training step.

    Example:

        with collected_penalties() as penalties:
            loss = -tf.reduce_mean(flow.log_prob(x))
        loss += sum(tf.reduce_mean(penalty) for penalty in penalties)
    """
    penalties = Penalties(tf.compat.v1.get_default_graph())
    with _in_force(penalties=penalties):
        yield penalties.collected


@contextlib.contextmanager
def guided(weight: float | tf.Tensor) -> Iterator[None]:
    """Bijectors that know a null class follow the condition more than it says, by this weight."""
    with _in_force(guidance=weight):
        yield


@contextlib.contextmanager
def passed_fields() -> Iterator[list]:
    """A `ContinuousFlow` that is met inside moves nothing, and notes what it was given to move.

    Of each there is `(field, direction, value, condition)`; the value is at time 1 in the inverse
    direction, and at time 0 in the forward one.

    Example:

        with passed_fields() as fields:
            flow.encode(x)
        ((field, direction, end, condition),) = fields
    """
    fields = []
    with _in_force(fields=fields):
        yield fields


@contextlib.contextmanager
def lower_for(backend: Backend) -> Iterator[None]:
    """Traces what is inside for another backend than this machine's, as an export does."""
    with _in_force(backend=backend):
        yield


def _in_force(**changes) -> contextlib.AbstractContextManager[None]:
    return reinstated(dataclasses.replace(current(), **changes))


@contextlib.contextmanager
def reinstated(modes: Modes) -> Iterator[None]:
    """Brings back modes that were in force before."""
    graph = tf.compat.v1.get_default_graph()
    before = _modes_of_graphs.get(graph)
    token = _modes.set(modes)
    _modes_of_graphs[graph] = modes
    try:
        yield
    finally:
        _modes.reset(token)
        if before is None:
            del _modes_of_graphs[graph]
        else:
            _modes_of_graphs[graph] = before


def _modes_of_the_starting_thread() -> Modes | None:
    if not _in_replica():
        return None
    graph = tf.compat.v1.get_default_graph()
    while graph is not None and graph not in _modes_of_graphs:
        graph = getattr(graph, "outer_graph", None)
    return None if graph is None else _modes_of_graphs[graph]


def _in_replica() -> bool:
    return tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()
