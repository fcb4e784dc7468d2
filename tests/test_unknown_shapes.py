"""Shapes that a trace does not know: a single value is never broadcast to an event."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb

X = normal((5, 3), "float32")
ONE = X[:, :1]
BIJECTORS = {
    "ActNorm": lambda: tgb.ActNorm(3),
    "Coupling": lambda: tgb.Coupling(tg.networks.MLP, event_shape=3),
    "DiagonalAffine": lambda: tgb.DiagonalAffine(3),
    "DiagonalScaling": lambda: tgb.DiagonalScaling(3),
    "GaussianPrior": lambda: tgb.GaussianPrior(3, event_ndims=1),
    "Invertible1x1Conv": lambda: tgb.Invertible1x1Conv(3),
    "MarginalGaussianization": lambda: tgb.MarginalGaussianization(3, bins=4),
    "MaskedAutoregressive": lambda: tgb.MaskedAutoregressive(tg.networks.MADE, event_shape=3),
    "Planar": lambda: tgb.Planar(3),
    "Radial": lambda: tgb.Radial(3),
    "Sylvester": lambda: tgb.Sylvester(3, directions=2),
}


def of_unknown_size(function):
    return tf.function(function, input_signature=[tf.TensorSpec([None, None])])


@pytest.mark.parametrize("name", BIJECTORS)
def test_bijectors_refuse_one_channel_for_all(name):
    bijector = BIJECTORS[name]()
    randomize(bijector)
    for function in (bijector.forward, bijector.inverse):
        traced = of_unknown_size(function)
        np.testing.assert_allclose(traced(X), function(tf.identity(X)), rtol=1e-5, atol=1e-5)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Shape of tensor"):
            traced(ONE)


class Scale(tgb.FlowBijector):
    """As the docstring of `FlowBijector` has it."""

    def __init__(self, size, *, name=None):
        super().__init__(forward_min_event_ndims=1, channels=size, dtype="float32", name=name)
        self.log_scale = self.add_variable(np.ones(size), name="log_scale")

    def _forward_and_log_det(self, z, condition=None):
        return z * tf.exp(self.log_scale), self.full_log_det(z, tf.reduce_sum(self.log_scale))

    def _inverse_and_log_det(self, x, condition=None):
        return x * tf.exp(-self.log_scale), self.full_log_det(x, -tf.reduce_sum(self.log_scale))


def test_bijectors_of_ones_own_say_how_many_channels_they_have():
    np.testing.assert_allclose(Scale(3).forward(X), np.e * X, rtol=1e-6)
    with pytest.raises(ValueError, match="built for 3 channels"):
        tgb.Chain([Scale(3), Scale(3)]).inverse(ONE)


def test_flows_know_their_shapes():
    flow = tg.flows.realnvp(3, steps=1, hidden_units=(8,), seed=0)
    randomize(flow)
    for function in (flow.log_prob, flow.decode):
        traced = of_unknown_size(function)
        np.testing.assert_allclose(traced(X), function(tf.identity(X)), rtol=1e-5, atol=1e-5)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Shape of tensor"):
            traced(ONE)
    with pytest.raises(ValueError, match="x must have a known rank"):
        tf.function(flow.log_prob, input_signature=[tf.TensorSpec(None)])(X)
    with pytest.raises(ValueError, match=r"z must have event shape \(3,\)"):
        flow.decode(ONE)


def test_a_coupling_that_cannot_know_its_channels_says_so():
    coupling = tgb.Coupling(tg.networks.MLP(4, inputs=(2,)))
    with pytest.raises(ValueError, match="must know how many channels"):
        of_unknown_size(coupling.forward)(X)


def conditional() -> tg.Flow:
    return tg.flows.maf(3, steps=1, hidden_units=(8,), condition_size=2, seed=0)


def test_conditions_are_not_broadcast_and_may_hold_integers():
    flow, features = conditional(), np.arange(10, dtype="int32").reshape(5, 2)
    randomize(flow)
    traced = of_unknown_size(lambda condition: flow.log_prob(X, condition=condition))
    expected = flow.log_prob(X, condition=features.astype("float32"))
    np.testing.assert_allclose(traced(features.astype("float32")), expected, rtol=1e-5)
    np.testing.assert_array_equal(flow.log_prob(X, condition=features), expected)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Shape of tensor"):
        traced(ONE)


@pytest.mark.slow
def test_class_ids_may_be_a_column_for_a_model():
    x, ids = X.numpy(), np.array([0, 1, 2, 1, 0])
    flow = tg.flows.maf(3, steps=1, hidden_units=(8,), num_classes=3, seed=0)
    randomize(flow)
    with pytest.raises(ValueError, match=r"one for each of \(5,\) examples.*\(5, 1\)"):
        flow.log_prob(x, condition=ids[:, np.newaxis])
    model, column = tg.FlowModel(flow), ids[:, np.newaxis]
    model.compile(keras.optimizers.SGD(0.0))
    losses = [model.fit(x, y, verbose=0).history["loss"][0] for y in (column, ids, column)]
    np.testing.assert_allclose(losses, [model.evaluate(x, ids, verbose=0)] * 3, rtol=1e-6)
    expected = flow.log_prob(x, condition=ids)
    np.testing.assert_allclose(model.predict((x, column), verbose=0), expected, rtol=1e-5)


def test_a_training_does_not_go_on_with_other_shapes():
    x, y = X.numpy(), X.numpy()[:, :2]
    model = tg.FlowModel(conditional())
    model.compile(keras.optimizers.SGD(1e-3))
    model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"x must have event shape \(3,\).*\(5, 1\)"):
        model.fit(x[:, :1], y, verbose=0)
    with pytest.raises(ValueError, match=r"y must have event shape \(2,\).*\(5, 1\)"):
        model.evaluate(x, y[:, :1], verbose=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Shape of tensor"):
        model.fit(tf.data.Dataset.from_tensors((x, y[:, :1])), verbose=0)
