"""Conditions that a network reads."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb


def summary(size: int = 3, dtype: str = "float64") -> keras.Sequential:
    layers = [keras.layers.GRU(4, dtype=dtype), keras.layers.Dense(size, dtype=dtype)]
    return keras.Sequential(layers, name="summary")


def conditional(dtype: str = "float64", **kwargs) -> tg.Flow:
    return tg.flows.maf(
        2, steps=2, hidden_units=(8,), condition_size=3, seed=0, dtype=dtype, **kwargs
    )


@pytest.fixture(scope="module")
def flow() -> tg.Flow:
    flow = tg.flows.conditioned(conditional(), summary(), condition_shape=(5, 2))
    randomize(flow)
    return flow


def test_the_condition_is_what_the_network_makes_of_it(flow):
    x, y = normal((4, 2)), normal((4, 5, 2), seed=1)
    inner = tg.Flow(flow.distribution, flow.bijector.bijector)
    features = flow.bijector.condition_network(y)
    expected = inner.log_prob(x, condition=features)
    np.testing.assert_allclose(flow.log_prob(x, condition=y), expected, rtol=1e-12)
    samples = flow.sample(4, condition=y, seed=1)
    np.testing.assert_allclose(samples, inner.sample(4, condition=features, seed=1), rtol=1e-12)


def test_one_observation_serves_all_samples(flow):
    y = normal((5, 2), seed=1)
    samples = tf.identity(flow.sample(6, condition=y, seed=1))
    repeated = tf.repeat(y[tf.newaxis], 6, 0)
    np.testing.assert_allclose(samples, flow.sample(6, condition=repeated, seed=1), rtol=1e-12)
    log_prob = flow.log_prob(samples, condition=repeated)
    np.testing.assert_allclose(flow.log_prob(samples, condition=y), log_prob, rtol=1e-12)


def test_gradients_reach_the_network_through_a_reversible_loop():
    """Equal to finite differences of one weight."""
    network = summary()
    bijector = tgb.Conditioned(tgb.Repeat(planar_step, 3, reversible=True), network, (5, 2))
    randomize(bijector)
    x, y = normal((4, 2)), normal((4, 5, 2), seed=1)
    weight = network.trainable_variables[0].value

    def loss():
        return tf.reduce_sum(bijector.forward_log_det_jacobian(tf.identity(x), 1, condition=y))

    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, weight)
    change = 1e-5 * tf.scatter_nd([[0, 0]], tf.ones([1], tf.float64), weight.shape)
    weight.assign_add(change)
    higher = loss()
    weight.assign_sub(2 * change)
    np.testing.assert_allclose(gradient[0, 0], (higher - loss()) / 2e-5, rtol=1e-6)


def planar_step() -> tgb.Planar:
    return tgb.Planar(2, network=factory, condition_shape=(3,), seed=1, dtype="float64")


def factory(inputs, outputs):
    return tg.networks.MLP(outputs, hidden_units=(4,), inputs=inputs, seed=2, dtype="float64")


@pytest.mark.slow
def test_it_trains_and_saves_whole(tmp_path, without_gradients):
    flow = tg.flows.conditioned(conditional("float32"), summary(dtype="float32"), (5, 2))
    x, y = normal((32, 2), "float32"), normal((32, 5, 2), "float32", seed=1)
    model = tg.FlowModel(flow)
    model.compile(keras.optimizers.Adam(1e-2))
    before = flow.bijector.condition_network.trainable_variables[0].numpy()
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    assert np.abs(flow.bijector.condition_network.trainable_variables[0] - before).min() > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").distribution
    expected = flow.log_prob(x, condition=y)
    np.testing.assert_allclose(loaded.log_prob(x, condition=y), expected, rtol=1e-5)
    tg.export_saved_model(flow, str(tmp_path / "exported"))
    exported = tf.saved_model.load(str(tmp_path / "exported")).signatures["log_prob"]
    np.testing.assert_allclose(exported(x=x, condition=y)["log_prob"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: (None, summary(), 3), TypeError, "flow must be a Flow"),
        (lambda: (conditional(), summary, (5, 2)), TypeError, "condition_network must be a Keras"),
        (lambda: (conditional(), summary(4), (5, 2)), ValueError, "condition_network must give"),
        (lambda: (conditional(), summary(), (0, 2)), ValueError, r"condition_shape\[0\]"),
        (lambda: (tg.flows.maf(2), summary(), (5, 2)), ValueError, "condition_size"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        tg.flows.conditioned(*make())


def test_bad_conditions(flow):
    with pytest.raises(ValueError, match="condition"):
        flow.log_prob(normal((4, 2)))
    with pytest.raises(ValueError, match=r"shape \[..., 5, 2\]"):
        flow.log_prob(normal((4, 2)), condition=normal((4, 5, 3)))
    broken = tf.constant(np.where(np.arange(4)[:, None, None] == 1, np.nan, normal((4, 5, 2))))
    finite = np.isfinite(flow.log_prob(normal((4, 2)), condition=broken))
    assert finite.tolist() == [True, False, True, True]
