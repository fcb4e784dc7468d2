"""The rational-quadratic spline against its definition, its limits and TFP's."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.helpers import normal
from tfp_glow.laws.rational_quadratic import Bin
from tfp_glow.laws.spline import RationalQuadraticSpline

tfb = tfp.bijectors
BINS, BOUND = 5, 3.0
LAW = RationalQuadraticSpline(bins=BINS, bound=BOUND)
RAW = 2.0 * normal([LAW.parameters_per_channel], seed=3)  # One spline, far from the identity.


def spline(x, raw=RAW):
    """z and log dz/dx of the same spline at many points."""
    x = tf.convert_to_tensor(x)[:, tf.newaxis]
    raw = tf.cast(tf.broadcast_to(raw, [x.shape[0], LAW.parameters_per_channel]), x.dtype)
    z, log_slope = LAW.inverse(x, raw)
    return z[:, 0], log_slope[:, 0]


def inverse_spline(z, raw=RAW):
    z = tf.convert_to_tensor(z)[:, tf.newaxis]
    raw = tf.cast(tf.broadcast_to(raw, [z.shape[0], LAW.parameters_per_channel]), z.dtype)
    x, log_slope = LAW.forward(z, raw)
    return x[:, 0], log_slope[:, 0]


def knots() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Widths, heights and inner slopes, from the definition."""
    raw = RAW.numpy()
    widths, heights = (
        2 * BOUND * (LAW.least + (1 - BINS * LAW.least) * np.exp(r) / np.exp(r).sum())
        for r in (raw[:BINS], raw[BINS : 2 * BINS])
    )
    slopes = LAW.least + (1 - LAW.least) * np.log1p(np.exp(raw[2 * BINS :]) * (np.e - 1))
    return widths, heights, slopes


def test_it_equals_the_spline_of_tfp():
    widths, heights, slopes = knots()
    reference = tfb.RationalQuadraticSpline(widths, heights, slopes, range_min=-BOUND)
    x = tf.constant(np.linspace(-4.0, 4.0, 101))
    z, log_slope = spline(x)
    np.testing.assert_allclose(z, reference.forward(x), atol=1e-12)
    np.testing.assert_allclose(
        log_slope, reference.forward_log_det_jacobian(x, event_ndims=0), atol=1e-12
    )


def test_it_and_its_slope_are_continuous_at_the_knots():
    inner = np.cumsum(knots()[0])[:-1] - BOUND
    places = np.concatenate([[-BOUND], inner, [BOUND]])
    (z, slope), (z_after, slope_after) = (spline(places + step) for step in (-1e-12, 1e-12))
    np.testing.assert_allclose(z, z_after, atol=1e-7)
    np.testing.assert_allclose(slope, slope_after, atol=1e-6)
    np.testing.assert_allclose(spline(inner)[0], np.cumsum(knots()[1])[:-1] - BOUND, atol=1e-9)


def test_it_is_the_identity_in_its_tails():
    x = tf.constant([-1e6, -BOUND - 1e-9, BOUND + 1e-9, 40.0], tf.float64)
    for value, log_slope in (spline(x), inverse_spline(x)):
        np.testing.assert_array_equal(value, x)
        np.testing.assert_array_equal(log_slope, np.zeros(4))


def test_zeros_give_the_identity_everywhere():
    x = tf.constant(np.linspace(-4.0, 4.0, 33))
    z, log_slope = spline(x, raw=tf.zeros_like(RAW))
    np.testing.assert_allclose(z, x, atol=1e-12)
    np.testing.assert_allclose(log_slope, np.zeros(33), atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_its_inverse_is_right_in_float32(seed):
    raw = normal([LAW.parameters_per_channel], "float32", seed=seed)
    x = tf.constant(np.linspace(-3.5, 3.5, 2001), tf.float32)
    z, log_slope = spline(x, raw)
    x_again, inverse_log_slope = inverse_spline(tf.identity(z), raw)
    assert np.max(np.abs(x_again - x)) < 1e-5
    np.testing.assert_allclose(log_slope, -inverse_log_slope, atol=1e-3)


def test_steep_and_flat_ends_of_bins_are_inverted_in_float32():
    """By the usual formula t is off by 0.004 here, and NaN in five places."""
    generator, count = np.random.default_rng(0), 2_000_000
    width, height = np.exp(generator.uniform(-3, 0, [2, count]))
    slopes = height / width * 10 ** generator.uniform(-3, 3, [2, count])
    z = height * generator.uniform(0, 1, count) ** generator.choice([1, 8, 0.05], count)
    values = [tf.constant(v, tf.float32) for v in (z, width, height, *slopes)]

    def solve(z, width, height, slope, next_slope):
        zeros = tf.zeros_like(z)
        return Bin(zeros, width, zeros, height, slope, next_slope).solve(z)

    t, truth = solve(*values), solve(*(tf.cast(v, tf.float64) for v in values))
    np.testing.assert_allclose(t, truth, atol=1e-5)


@pytest.mark.parametrize("slopes", [(1.0, 1.0), (0.2, 0.2), (3.0, 0.5)])
@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 1.0])
def test_gradients_of_the_inverse_are_those_of_the_equation(slopes, t):
    """dt/dp = -(dz/dp) / (dz/dt), also half way, where the two forms of the root meet."""
    parts = tf.constant([0.0, 2.0, -1.0, 2.0, *slopes], tf.float64)
    t = tf.constant(t, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([parts, t])
        z = Bin(*tf.unstack(parts)).evaluate(t)[0]
    by_parts, by_t = tape.gradient(z, [parts, t])
    with tf.GradientTape() as tape:
        tape.watch([parts, z])
        solved = Bin(*tf.unstack(parts)).solve(z)
    gradients = tape.gradient(solved, [parts, z])
    np.testing.assert_allclose(solved, t, atol=1e-12)
    np.testing.assert_allclose(gradients[0], -by_parts / by_t, atol=1e-9)
    np.testing.assert_allclose(gradients[1], 1 / by_t, atol=1e-9)


@pytest.mark.parametrize("function", [spline, inverse_spline])
@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_values_and_gradients_are_finite_at_the_boundary(function, scale):
    places = [-BOUND, BOUND, 0.0, np.nextafter(BOUND, 0), 1e8, -1e8]
    x, raw = tf.constant(places, tf.float32), tf.cast(scale * RAW, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([x, raw])
        loss = tf.add_n([tf.reduce_sum(v) for v in function(x, raw)])
    assert np.isfinite(loss)
    assert all(np.isfinite(g).all() for g in tape.gradient(loss, [x, raw]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bins": 1}, "bins must be at least 2. Received: 1"),
        ({"bound": 0.0}, "bound must be above 0"),
        ({"least": 0.2}, "least must lie between"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RationalQuadraticSpline(**arguments)
