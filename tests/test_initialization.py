"""Data-dependent initialization: once, from data, per channel, saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.helpers import normal
from tfp_glow import bijectors as tgb
from tfp_glow import flows
from tfp_glow.networks import GlowNetwork


def deep_flow(unroll: bool) -> tgb.Repeat:
    seeds = iter(range(12))

    def make_step():
        network = GlowNetwork(4, hidden_channels=4, inputs=(2, 2, 2), seed=next(seeds))
        return tgb.GlowStep(4, network, seed=next(seeds))

    return tgb.Repeat(make_step, 6, unroll=unroll)


@pytest.fixture(params=[False, True], ids=["loop", "unrolled"])
def deep(request) -> tgb.Repeat:
    return deep_flow(request.param)


X = 3.0 + 2.0 * normal([64, 2, 2, 4], "float32")


def test_every_step_of_a_deep_flow_is_normalized(deep):
    shift, log_scale = [v for v in deep.keras_variables if v.name[4:] in ("shift", "log_scale")][:2]
    assert not deep.initialized
    deep.forward(normal([8, 2, 2, 4], "float32"))
    assert not deep.initialized
    np.testing.assert_array_equal(shift, tf.zeros_like(shift))
    z = deep.initialize(X)
    assert deep.initialized
    h = X
    for index in range(deep.depth):
        normalized = (h - shift[index]) * tf.exp(-log_scale[index])
        mean, variance = tf.nn.moments(normalized, [0, 1, 2])
        np.testing.assert_allclose(mean, tf.zeros(4), atol=1e-5)
        np.testing.assert_allclose(tf.sqrt(variance), tf.ones(4), atol=1e-4)
        slices = [v[index] for v in deep.keras_variables]
        mapping = list(zip(deep._stack.template.keras_variables, slices, strict=True))
        with keras.StatelessScope(mapping):
            h = deep._stack.template.inverse_and_log_det(h)[0]
    np.testing.assert_allclose(h, z, atol=1e-4)


def test_a_second_initialization_is_refused_unless_forced(deep):
    deep.initialize(X)
    with pytest.raises(ValueError, match="force=True"):
        deep.initialize(X)
    deep.initialize(10.0 * X, force=True)


def test_hidden_layers_of_the_network_are_normalized():
    network = GlowNetwork(2, hidden_channels=8, inputs=(4, 4, 3), seed=0)
    x = 5.0 + normal([32, 4, 4, 3], "float32")
    assert not any(np.all(flag) for flag in network.initialized_flags)
    network.initialize(x)
    for layer, inputs in ((network.first, x), (network.second, tf.nn.relu(network.first(x)))):
        mean, variance = tf.nn.moments(layer(inputs), [0, 1, 2])
        np.testing.assert_allclose(mean, tf.zeros(8), atol=1e-4)
        np.testing.assert_allclose(variance, tf.ones(8), atol=1e-3)
    assert all(np.all(flag) for flag in network.initialized_flags)


def test_a_constant_channel_keeps_scale_one():
    actnorm = tgb.ActNorm(2)
    x = tf.stack([tf.fill([16], 7.0), normal([16], "float32")], -1)
    z = actnorm.initialize(x)
    np.testing.assert_allclose(z[:, 0], tf.zeros(16))
    np.testing.assert_allclose(actnorm.log_scale[0], 0.0)


@pytest.mark.parametrize("base", ["normal", "logistic"])
def test_latents_of_nice_start_with_the_standard_deviation_of_their_base(base):
    flow = flows.nice(4, hidden_units=(8,), base=base, seed=0)
    z = flow.initialize(3.0 * normal([256, 4], "float32"))
    np.testing.assert_allclose(tf.math.reduce_std(z, 0), flow.distribution.stddev(), rtol=1e-4)


def test_nan_data_and_graph_mode_are_refused():
    with pytest.raises(ValueError, match="x must be finite"):
        tgb.ActNorm(2).initialize([[1.0, np.nan]])
    with pytest.raises(ValueError, match=r"tf\.function"):
        tf.function(tgb.ActNorm(2).initialize)(tf.ones([3, 2]))


def test_it_survives_a_checkpoint(deep, tmp_path):
    deep.initialize(X)
    path = tf.train.Checkpoint(flow=deep).write(str(tmp_path / "checkpoint"))
    other = deep_flow(deep._stack.unroll)
    status = tf.train.Checkpoint(flow=other).read(path)
    status.assert_consumed()
    assert other.initialized
    np.testing.assert_allclose(other.inverse(X), deep.inverse(tf.identity(X)), atol=1e-5)


def test_stock_parts_take_part():
    chain = tgb.Chain([tfp.bijectors.Exp(), tgb.ActNorm(2)])
    z = chain.initialize(tf.exp(X[:, 0, 0, :2]))
    mean, variance = tf.nn.moments(z, [0])
    np.testing.assert_allclose(mean, tf.zeros(2), atol=1e-5)
    np.testing.assert_allclose(variance, tf.ones(2), atol=1e-4)


def test_a_floor_keeps_channels_that_hardly_vary_from_being_enlarged():
    x = normal((1000, 2)) * np.array([2.0, 1e-4])
    actnorm = tgb.ActNorm(2, floor=0.1, dtype="float64")
    actnorm.initialize(x)
    stds = np.std(x, 0)
    rms = np.sqrt(np.mean(stds**2))
    np.testing.assert_allclose(tf.exp(actnorm.log_scale), [stds[0], 0.1 * rms], rtol=1e-12)
    with pytest.raises(ValueError, match="floor must be"):
        tgb.ActNorm(2, floor=-1.0)
