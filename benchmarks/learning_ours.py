"""This package's flows, as `benchmarks.learning` trains them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from benchmarks.learning import Learner
from tfp_glow import Flow, FlowModel, flows

__all__ = ["learner"]

_UNITS = (64, 64)
_FLOWS = {
    "maf": lambda size, seed: flows.maf(size, hidden_units=_UNITS, seed=seed),
    "maf_spline": lambda size, seed: flows.maf(
        size, steps=3, law="spline", hidden_units=_UNITS, seed=seed
    ),
    "realnvp": lambda size, seed: flows.realnvp(size, hidden_units=_UNITS, seed=seed),
    # About as many parameters as zuko's in the plane, whose networks serve all values of a layer.
    "coupling_spline": lambda size, seed: flows.coupling_spline(
        size, hidden_units=(72, 72), seed=seed
    ),
    "nice": lambda size, seed: flows.nice(size, hidden_units=_UNITS, seed=seed),
}


def learner(flow: str, size: int, seed: int, start: np.ndarray) -> Learner:
    """The flow with its defaults, and its data-dependent start."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return _Ours(_FLOWS[flow](size, seed), start)


class _Ours:
    def __init__(self, flow: Flow, start: np.ndarray):
        self._flow = flow
        self._model = FlowModel(flow)
        self._model.compile()  # Adam with the rate and the average that the others are given.
        self._model.initialize(start)

    def parameters(self) -> int:
        return sum(int(tf.size(v)) for v in self._flow.trainable_variables)

    def learn(self, batch: np.ndarray) -> None:
        self._model.train_on_batch(batch)

    def nats(self, x: np.ndarray, *, averaged: bool) -> float:
        with self._weights(averaged):
            return -float(tf.reduce_mean(self._flow.log_prob(x)))

    def inversion_error(self, x: np.ndarray, *, averaged: bool) -> float:
        with self._weights(averaged):
            again = self._flow.decode(tf.identity(self._flow.encode(x)))
        return float(tf.reduce_max(tf.abs(again - x)))

    @contextlib.contextmanager
    def _weights(self, averaged: bool) -> Iterator[None]:
        variables = self._model.trainable_variables
        trained = [v.numpy() for v in variables]
        if averaged:
            self._model.optimizer.finalize_variable_values(variables)
        yield
        for variable, value in zip(variables, trained, strict=True):
            variable.assign(value)
