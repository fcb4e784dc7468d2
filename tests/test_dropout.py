"""Hidden units that training drops."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal
from tfp_glow.networks import MADE, MLP
from tfp_glow.networks.dropout import Dropout

SIZES = {"hidden_units": (8,), "seed": 0}
WITH_DROPOUT = ["maf", "coupling_spline", "nice", "realnvp"]


class Called(keras.layers.Layer):
    """Calls a function in a phase of Keras."""

    def __init__(self, function):
        super().__init__(dtype="float64")
        self.function = function

    def call(self, x, training=False):
        return self.function(x)


def in_training(function, x):
    return Called(function)(x, training=True)


def dropouts(flow) -> list[Dropout]:
    return [layer for layer in flow.bijector.all_layers() if isinstance(layer, Dropout)]


def test_a_share_of_the_units_is_dropped_and_the_others_are_scaled_up():
    dropout = Dropout(0.25, seed=0, dtype="float64")
    first = dropout.factors([400, 50], 0, "float64").numpy()
    np.testing.assert_allclose(np.unique(first), [0.0, 4 / 3])
    assert abs(np.mean(first == 0) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / first.size)
    # Others in each example, in each layer, and after each step.
    assert not np.any(np.all(first[1:] == first[:-1], axis=1))
    other_layer = dropout.factors([400, 50], 1, "float64")
    np.testing.assert_array_equal(dropout.factors([400, 50], 0, "float64"), first)
    dropout.advance()
    after = dropout.factors([400, 50], 0, "float64")
    for other in (other_layer, after):
        assert 0.3 < np.mean(first != other) < 0.45  # 2 * 0.25 * 0.75


@pytest.mark.parametrize(
    "make",
    [
        functools.partial(MLP, 3, inputs=(3,), hidden_units=(8, 8), seed=0),
        functools.partial(MADE, 3, hidden_units=(8, 8), residual=True, seed=0),
    ],
)
def test_networks_drop_in_training_alone(make):
    x = normal((5, 3), "float32")
    network, without = make(dropout=0.5), make()
    trained = network(x, training=True)
    np.testing.assert_array_equal(network(x), without(x))
    np.testing.assert_array_equal(network(x, training=True), trained)
    assert np.all(np.any(np.abs(trained - without(x)) > 1e-3, axis=1))
    network.advance()
    assert np.any(np.abs(network(x, training=True) - trained) > 1e-3)
    assert (network.advances, without.advances) == (True, False)
    again = type(network).from_config(network.get_config())
    np.testing.assert_array_equal(again(x, training=True), trained)


@pytest.mark.parametrize(("size", "residual"), [(5, False), (5, True), (11, True), (40, False)])
def test_what_a_masked_flow_generates_in_training_is_the_inverse_in_training(size, residual):
    made = functools.partial(MADE, hidden_units=(16, 16), residual=residual, order="random")
    flow = tg.bijectors.MaskedAutoregressive(
        functools.partial(made, dropout=0.3, seed=0, dtype="float64"),
        event_shape=size,
        dtype="float64",
    )
    for variable in flow.trainable_variables:
        variable.assign(0.3 * normal(variable.shape))
    x = normal((4, size))
    z, log_det = in_training(flow.inverse_and_log_det, x)
    again, back = in_training(flow.forward_and_log_det, tf.identity(z))
    np.testing.assert_allclose(again, x, atol=1e-9)
    np.testing.assert_allclose(back, -log_det, atol=1e-9)
    assert np.max(np.abs(z - flow.inverse(x))) > 0.1


@pytest.mark.slow
def test_steps_of_a_loop_drop_other_units_and_their_gradients_are_those_of_a_chain():
    x = normal((6, 4))

    def loss_and_gradients(reversible):
        flow = tg.flows.coupling_spline(
            4, steps=2, dropout=0.5, reversible=reversible, dtype="float64", **SIZES
        )
        noise = normal([1000])
        for variable in flow.trainable_variables:
            size = tf.size(variable)
            variable.assign(variable + 0.1 * tf.reshape(noise[:size], variable.shape))
        with tf.GradientTape() as tape:
            loss = in_training(lambda x: tf.reduce_mean(flow.log_prob(x)), x)
        return loss, tape.gradient(loss, flow.trainable_variables), flow

    loss, stored, flow = loss_and_gradients(reversible=False)
    again, rebuilt, _ = loss_and_gradients(reversible=True)
    np.testing.assert_allclose(again, loss, rtol=1e-12)
    for one, other in zip(stored, rebuilt, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-9)
    evaluated = tf.reduce_mean(flow.log_prob(x))
    assert abs(loss - evaluated) > 1e-3
    seeds = [v for v in flow.bijector.keras_variables if "noise_seed" in v.path]
    (before,) = map(np.array, seeds)
    assert before.shape == (2, 2)
    assert np.all(before[0] != before[1])
    flow.bijector.advance()
    np.testing.assert_array_equal(seeds[0], before + np.array([0, 1]))


def test_fit_drops_and_draws_anew_each_step_and_evaluation_does_neither(untraced, tmp_path):
    flow = tg.flows.nice(6, couplings=2, dropout=0.5, marginal_bins=None, **SIZES)
    model = tg.FlowModel(flow)
    model.compile(keras.optimizers.SGD(0.0))
    x = normal((8, 6), "float32")
    model.initialize(x)
    seeds = [np.array(dropout.noise_seed) for dropout in dropouts(flow)]
    losses = model.fit(x, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert len(set(losses)) == 3
    expected = -np.mean(flow.log_prob(x))
    assert min(abs(loss - expected) for loss in losses) > 1e-4
    for dropout, before in zip(dropouts(flow), seeds, strict=True):
        np.testing.assert_array_equal(dropout.noise_seed, before + np.array([0, 3]))
    np.testing.assert_allclose(model.evaluate(x, verbose=0), expected, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").distribution
    for one, other in zip(dropouts(again), dropouts(flow), strict=True):
        np.testing.assert_array_equal(one.noise_seed, other.noise_seed)
    np.testing.assert_array_equal(again.log_prob(x), flow.log_prob(x))


@pytest.fixture
def rates(monkeypatch) -> list[float]:
    """What networks are built with, those inside of loops too."""
    found, init = [], Dropout.__init__

    def noted(self, rate, **kwargs):
        found.append(rate)
        init(self, rate, **kwargs)

    monkeypatch.setattr(Dropout, "__init__", noted)
    return found


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_the_more_values_a_flow_has_the_more_it_drops(name, rates):
    make = functools.partial(getattr(tg.flows, name), **SIZES)
    for size, options, rate in [
        (2, {}, 0.05 if name == "coupling_spline" else 0.0),
        (3, {}, 0.1),
        (15, {}, 0.1),
        (16, {}, 0.2),
        (5, {"marginal_bins": None}, 0.0),
        (5, {"condition_size": 2}, 0.0),
        (5, {"num_classes": 2}, 0.0),
        (5, {"condition_size": 2, "dropout": 0.2}, 0.2),
        (2, {"dropout": 0.3}, 0.3),
        (5, {"dropout": 0}, 0.0),
    ]:
        rates.clear()
        flow = make(size, **options)
        assert set(rates) == {rate}
        assert flow.bijector.advances == (rate > 0)
    config = json.loads(json.dumps(tg.FlowModel(make(5, dropout=0.3)).get_config()))
    rates.clear()
    tg.FlowModel.from_config(config)
    assert set(rates) == {0.3}


def test_splines_drop_a_little_in_the_plane(rates):
    make = functools.partial(tg.flows.maf, law="spline", **SIZES)
    for size, options, rate in [(1, {}, 0.0), (2, {}, 0.05), (2, {"marginal_bins": None}, 0.0)]:
        rates.clear()
        make(size, **options)
        assert set(rates) == {rate}


@pytest.mark.parametrize("name", WITH_DROPOUT)
@pytest.mark.parametrize("dropout", [1.0, -0.1, "a", []])
def test_a_wrong_dropout_is_named(name, dropout):
    with pytest.raises((ValueError, TypeError), match="dropout"):
        getattr(tg.flows, name)(5, dropout=dropout)


def test_flows_that_drop_are_stacked():
    flows = [tg.flows.nice(6, dropout=0.5, hidden_units=(8,), seed=seed) for seed in range(2)]
    x = normal((3, 6), "float32")
    expected = np.stack([flow.log_prob(x) for flow in flows], -1)
    np.testing.assert_allclose(tg.flows.stack(flows).log_prob(x[:, None]), expected, rtol=1e-5)
