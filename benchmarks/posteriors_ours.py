"""This package's flows, as `benchmarks.posteriors` trains them."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from benchmarks.posteriors import BATCH, LEARNING_RATE, Estimate
from tfp_glow import FlowModel, flows

__all__ = ["estimate"]

_LAWS = {"maf": {}, "spline": {"law": "spline"}}


def estimate(flow: str, x: np.ndarray, y: np.ndarray, *, steps: int, seed: int) -> Estimate:
    """`flows.maf` with its defaults, by Adam along a cosine."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    made = flows.maf(x.shape[1], condition_size=y.shape[1], seed=seed, **_LAWS[flow])
    return _Ours(made, x, y, steps)


class _Ours:
    def __init__(self, flow, x, y, steps):
        self._model = FlowModel(flow, seed=0)
        rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
        self._model.compile(keras.optimizers.Adam(rate))
        epochs = max(1, round(steps * BATCH / len(x)))
        self._model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
        self.parameters = sum(int(tf.size(v)) for v in flow.trainable_variables)

    def log_prob(self, x, y):
        return self._model.predict((x, y), batch_size=1000, verbose=0)
