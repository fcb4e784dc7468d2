"""The law by a mixture of logistics: an independent truth, tails, precision and gradients."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logit, softmax

from tests.helpers import normal
from tfp_glow import flows
from tfp_glow.laws import LogisticMixture, get_law

LAW = LogisticMixture(components=4)
# Two channels of values, and parameters far from their start.
X = 3.0 * normal((6, 2), seed=1)
RAW = 2.0 * normal((6, 2 * LAW.parameters_per_channel), seed=2)


def by_hand(x, raw, law=LAW) -> np.ndarray:
    """z of one value, from its own parameters, by the formula of the docstring."""
    weights, means, log_widths, (a,), (b,) = np.split(raw, np.cumsum([law.components] * 3 + [1]))
    means = means + np.linspace(-1.0, 1.0, law.components)
    log_widths, a = (law.bound * v / (law.bound + np.abs(v)) for v in (log_widths, a))
    share = np.sum(softmax(weights) * expit((x - means) / np.exp(log_widths)))
    return logit(share) * np.exp(a) + b


def test_values_log_dets_and_roots_are_those_of_the_formula():
    with tf.GradientTape() as tape:
        tape.watch(X)
        z, log_det = LAW.inverse(X, RAW)
    parameters = np.reshape(RAW, [6, -1, 2])
    truth = [[by_hand(X[i, c], parameters[i, :, c]) for c in range(2)] for i in range(6)]
    np.testing.assert_allclose(z, truth, rtol=1e-9)
    np.testing.assert_allclose(log_det, np.log(tape.gradient(z, X)), atol=1e-10)
    x, back = LAW.forward(tf.identity(z), RAW)
    np.testing.assert_allclose(x, X, atol=1e-8)
    np.testing.assert_allclose(back, -log_det, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tails_can_be_told_apart_and_come_back(dtype):
    far = np.concatenate([-np.logspace(6, 0, 13), np.logspace(0, 6, 13)])
    x = tf.constant(far[:, None], dtype)
    raw = tf.cast(tf.repeat(RAW[:1, ::2], len(far), 0), dtype)

    @tf.function(jit_compile=dtype == "float32")
    def run():
        z, log_det = LAW.inverse(x, raw)
        return z, log_det, *LAW.forward(tf.identity(z), raw)

    z, log_det, again, back = run()
    assert (np.diff(z[:, 0]) > 0).all()
    tolerance = 1e-5 if dtype == "float32" else 1e-8
    np.testing.assert_allclose(again, x, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(back, -log_det, atol=10 * tolerance)


def test_the_inverses_gradient_is_the_implicit_functions():
    z = normal((6, 2), seed=3)
    with tf.GradientTape() as tape:
        tape.watch([z, RAW])
        x, log_det = LAW.forward(z, RAW)
        loss = tf.reduce_sum(tf.sin(x) + log_det**2)
    gradients = tape.gradient(loss, [z, RAW])
    for index, (value, gradient) in enumerate(zip((z, RAW), gradients, strict=True)):
        change = normal(value.shape, seed=4)
        losses = []
        for step in (1e-6, -1e-6):
            moved = [z, RAW]
            moved[index] = value + step * change
            x, log_det = LAW.forward(*moved)
            losses.append(tf.reduce_sum(tf.sin(x) + log_det**2))
        slope = (losses[0] - losses[1]) / 2e-6
        np.testing.assert_allclose(slope, tf.reduce_sum(gradient * change), rtol=1e-6)


def test_zeros_are_close_to_the_identity_and_no_two_components_learn_the_same():
    x = tf.linspace(tf.constant(-3.0, tf.float64), 3.0, 7)[:, tf.newaxis]
    raw = tf.zeros([7, LAW.parameters_per_channel], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(raw)
        z, log_det = LAW.inverse(x, raw)
        losses = z**2 / 2 - log_det
    np.testing.assert_allclose(z, x, atol=0.5)
    assert np.abs(log_det).max() < 0.3
    of_means = tape.gradient(losses, raw)[1, LAW.components : 2 * LAW.components]
    assert np.abs(np.diff(of_means)).min() > 1e-3


def test_what_has_no_root_is_nan_and_the_others_are_as_they_were():
    z, raw = normal((3, 1), "float32"), tf.cast(RAW[:3, ::2], tf.float32)
    x, log_det = LAW.forward(tf.tensor_scatter_nd_update(z, [[1, 0]], [np.nan]), raw)
    alone, _ = LAW.forward(z[:1], raw[:1])
    assert np.isnan(x[1, 0])
    assert np.isnan(log_det[1, 0])
    np.testing.assert_allclose(x[0], alone[0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maf", "iaf", "realnvp"])
def test_recipes_take_it(name):
    flow = flows.RECIPES[name](3, law="logistic_mixture", steps=1, hidden_units=(4,), seed=0)
    x = normal((8, 3), "float32")
    np.testing.assert_allclose(flow.decode(tf.identity(flow.encode(x))), x, atol=1e-5)


def test_bad_arguments():
    assert get_law("logistic_mixture") == LogisticMixture()
    with pytest.raises(ValueError, match="components must be at least 1"):
        LogisticMixture(components=0)
    with pytest.raises(ValueError, match="bound must be above 0"):
        LogisticMixture(bound=0.0)
