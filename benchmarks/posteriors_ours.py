"""This package's flows, as `benchmarks.posteriors` trains them."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from benchmarks.posteriors import SIZES, Estimate, Schedule
from tfp_glow import FlowModel, flows
from tfp_glow.laws import RationalQuadraticSpline

__all__ = ["estimate"]


def estimate(flow: str, x: np.ndarray, y: np.ndarray, *, schedule: Schedule, seed: int) -> Estimate:
    """`flows.maf` with its defaults, by Adam along a cosine."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    size = SIZES[flow]
    law = {} if size.bins is None else {"law": RationalQuadraticSpline(size.bins)}
    made = flows.maf(
        x.shape[1],
        hidden_units=(size.width, size.width),
        activation=size.activation,
        condition_size=y.shape[1],
        seed=seed,
        **law,
    )
    return _Ours(made, x, y, schedule)


class _Ours:
    def __init__(self, flow, x, y, schedule):
        self._model = FlowModel(flow, seed=0)
        rate = keras.optimizers.schedules.CosineDecay(schedule.learning_rate, schedule.steps)
        self._model.compile(keras.optimizers.Adam(rate))
        epochs = max(1, round(schedule.steps * schedule.batch / len(x)))
        self._model.fit(x, y, batch_size=schedule.batch, epochs=epochs, verbose=0)
        self.parameters = sum(int(tf.size(v)) for v in flow.trainable_variables)

    def log_prob(self, x, y):
        return self._model.predict((x, y), batch_size=1000, verbose=0)
