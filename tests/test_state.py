"""One life cycle for bijectors and the networks that they hold."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal
from tfp_glow import bijectors as tgb
from tfp_glow.core.state import Stateful


class Counter(keras.layers.Layer, Stateful):
    """Gives zeros, and counts what happens to it."""

    def __init__(self):
        super().__init__()
        self.counts = self.add_weight(shape=(3,), initializer="zeros", trainable=False)
        self.flag = self.add_weight(shape=(), dtype="bool", initializer="zeros", trainable=False)
        self.built = True

    def call(self, x):
        return tf.zeros_like(tf.concat([x, x], -1))

    @property
    def initialized_flags(self):
        return [self.flag]

    @property
    def advances(self):
        return True

    def _count(self, index: int) -> None:
        self.counts.assign(self.counts + np.eye(3, dtype="float32")[index])

    def initialize(self, inputs):
        self.flag.assign(True)
        self._count(0)
        return self(inputs)

    def advance(self):
        self._count(1)

    def converge(self):
        self._count(2)


def test_a_network_of_ones_own_takes_part_in_every_step_of_a_loop():
    flow = tg.Flow(tg.standard_normal(4), tgb.Repeat(lambda: tgb.Coupling(Counter()), 3))
    flow = tg.Flow(flow.distribution, tgb.Chain([tgb.ActNorm(4), flow.bijector]))
    assert not flow.initialized
    model = tg.FlowModel(flow)
    model.compile("sgd")
    model.fit(normal((8, 4), "float32"), batch_size=4, epochs=2, verbose=0)
    assert flow.initialized
    (counts,) = [v for v in flow.bijector.keras_variables if v.shape == (3, 3)]
    np.testing.assert_array_equal(counts, np.tile([1.0, 4.0, 1.0], [3, 1]))


def test_exact_log_dets_are_no_estimates_even_where_norms_advance():
    exact, estimated = (
        tg.flows.residual_flow(2, steps=1, hidden_units=(4,), exact=exact, seed=0)
        for exact in (True, False)
    )
    assert exact.bijector.advances
    assert not exact.log_det_is_estimate
    assert estimated.log_det_is_estimate
    before = [v.numpy() for v in exact.bijector.keras_variables if v.dtype == "int32"]
    exact.bijector.advance()
    after = [v.numpy() for v in exact.bijector.keras_variables if v.dtype == "int32"]
    np.testing.assert_array_equal(after, before)
