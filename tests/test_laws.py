"""The laws of couplings at their limits."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_glow import flows
from tfp_glow.laws.elementwise import (
    AffineExp,
    AffineSigmoid,
    AffineSoftsign,
    Multiplicative,
    get_law,
)

NAMES = ["additive", "multiplicative", "affine", "affine_exp", "spline", "logistic_mixture"]


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("raw", [-1e4, -30.0, 30.0, 1e4])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_finite_at_the_bounds(name, raw, direction):
    law = get_law(name)
    value = tf.constant([[0.0, 1.0, -30.0]])
    raw = tf.fill([1, 3 * law.parameters_per_channel], raw)
    with tf.GradientTape() as tape:
        tape.watch([value, raw])
        result = getattr(law, direction)(value, raw)
    gradients = tape.gradient(result, [value, raw], unconnected_gradients="zero")
    assert all(np.isfinite(v).all() for v in (*result, *gradients))


@pytest.mark.parametrize(
    ("law", "least", "largest"),
    [
        (AffineSigmoid(floor=0.1), np.log(0.1), 0.0),
        (AffineExp(bound=2.0), -2.0, 2.0),
        (Multiplicative(bound=3.0), -3.0, 3.0),
    ],
)
def test_scales_stay_within_their_bounds(law, least, largest):
    for raw, expected in ((-1e4, least), (1e4, largest)):
        raw = tf.fill([1, law.parameters_per_channel], tf.constant(raw, tf.float64))
        log_det = law.inverse(tf.ones([1, 1], tf.float64), raw)[1]
        np.testing.assert_allclose(log_det, [[expected]], atol=1e-6)


@pytest.mark.parametrize("name", ["coupling_spline", "iaf", "maf", "nice", "realnvp"])
def test_a_constant_feature_stays_finite(name):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((64, 3)).astype("float32")
    x[:, 1] = 0.25
    flow = flows.RECIPES[name](3, hidden_units=(8,), seed=0)
    flow.initialize(x)
    with tf.GradientTape() as tape:
        log_prob = flow.log_prob(x)
    gradients = tape.gradient(log_prob, flow.trainable_variables, unconnected_gradients="zero")
    assert np.isfinite(log_prob).all()
    assert all(np.isfinite(g).all() for g in gradients)


def test_a_law_that_returns_no_bijector_is_named():
    with pytest.raises(TypeError, match=r"law must return a tfb\.Bijector"):
        get_law(lambda raw: raw).inverse(tf.zeros([1, 1]), tf.zeros([1, 1]))


@pytest.mark.parametrize("law", [AffineExp, AffineSoftsign, Multiplicative])
def test_a_bound_that_bounds_nothing_is_refused(law):
    with pytest.raises(ValueError, match="bound must be above 0"):
        law(bound=0.0)
