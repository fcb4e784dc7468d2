"""Marginals made normal: knots from data, lines beyond them, and data that are not smooth."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from tests.helpers import normal, randomize
from tfp_glow.bijectors import MarginalGaussianization

BINS = 8


def initialized(x, **options) -> tuple[MarginalGaussianization, np.ndarray]:
    """The bijector of data, and their latents."""
    options = {"bins": BINS, "dtype": "float64", **options}
    bijector = MarginalGaussianization(x.shape[-1], **options)
    return bijector, bijector.initialize(x).numpy()


@pytest.fixture(scope="module")
def peaked() -> np.ndarray:
    """Positions of two channels: nine tenths in a peak as narrow as a background, and a skew."""
    generator = np.random.default_rng(0)
    background = generator.uniform(size=[500, 2, 3]) / 256
    signal, is_signal = generator.uniform(size=(2, *background.shape))
    peak = np.where(is_signal < 0.1, signal, background)
    return np.stack([peak, generator.exponential(size=peak.shape)], axis=-1)


def test_knots_lie_at_quantiles_and_go_to_those_of_a_normal(peaked):
    bijector, _ = initialized(peaked, least=1e-9)
    flat = peaked.reshape(-1, 2)
    x, z = (knots.numpy() for knots in bijector.knots)
    np.testing.assert_allclose(bijector.inverse(x.T), z.T, atol=1e-6)
    # The least of so many normal values, the median, and the largest.
    outer = norm.ppf(1 - 0.5 / len(flat))
    np.testing.assert_allclose(z[:, [0, BINS // 2, BINS]], [[-outer, 0, outer]] * 2, atol=1e-6)
    shares = (norm.cdf(z[0]) * len(flat) - 0.5) / (len(flat) - 1)
    np.testing.assert_allclose(x.T, np.quantile(flat, shares.clip(0, 1), axis=0), atol=1e-7)


def test_marginals_become_normal(peaked):
    _, z = initialized(peaked, bins=64)
    assert z.shape == peaked.shape
    for channel in range(2):
        quantiles = np.quantile(z[..., channel], [0.05, 0.3, 0.7, 0.95])
        np.testing.assert_allclose(quantiles, norm.ppf([0.05, 0.3, 0.7, 0.95]), atol=0.05)


def test_it_is_smooth_at_its_knots_and_straight_beyond_them(peaked):
    bijector, _ = initialized(peaked, least=0.01)
    randomize(bijector)
    knots = np.transpose(bijector.knots[0])
    inner, ends = knots[1:-1], knots[[0, -1]]
    below, above = (bijector.inverse_and_log_det(inner + shift)[1] for shift in (-1e-10, 1e-10))
    np.testing.assert_allclose(below, above, atol=1e-4)
    z_ends, beyond = bijector.inverse(ends), ends + np.array([[-3.0], [5.0]])
    z, log_det = bijector.inverse_and_log_det(beyond)
    slopes = np.exp(np.transpose(bijector.log_slopes)[[0, -1]])
    whole = (z_ends[1] - z_ends[0]) / (ends[1] - ends[0])
    assert np.all(slopes <= whole + 1e-9)
    inside = bijector.inverse_and_log_det(ends - np.array([[-1e-9], [1e-9]]))[1]
    np.testing.assert_allclose(inside, np.log(slopes).sum(-1), atol=1e-4)
    np.testing.assert_allclose(z - z_ends, slopes * (beyond - ends), rtol=1e-6)
    np.testing.assert_allclose(log_det, np.log(slopes).sum(-1), rtol=1e-6)


def test_it_is_the_identity_until_it_has_seen_data():
    x = 3.0 * normal([5, 2])
    z, log_det = MarginalGaussianization(2, bins=BINS, dtype="float64").inverse_and_log_det(x)
    np.testing.assert_allclose(z, x, atol=1e-12)
    np.testing.assert_allclose(log_det, np.zeros(5), atol=1e-12)


def test_values_that_repeat_and_constant_channels_stay_finite():
    x = np.stack([np.repeat([0.0, 1.0, 4.0], 20), np.full(60, 7.0)], axis=-1)
    bijector, z = initialized(x, least=0.01)
    assert np.isfinite(z).all()
    widths = np.diff(bijector.knots[0], axis=-1)
    assert widths[0].min() >= 0.99 * 0.01 * 4.0
    np.testing.assert_allclose(z[:, 1], 0.0, atol=1e-6)
    np.testing.assert_allclose(bijector.forward(tf.identity(z)), x, atol=1e-9)


@pytest.mark.parametrize("bins", [2, 3, 8, 31])
def test_few_values_are_enough(bins):
    for count in (1, 2, 3, 4, 50):
        bijector, z = initialized(normal([count, 2]).numpy(), bins=bins)
        assert np.isfinite(z).all()
        assert all(np.diff(knots, axis=-1).min() > 0 for knots in bijector.knots)


def test_rounding_past_the_end_of_a_narrow_bin_gives_no_nan():
    generator = np.random.default_rng(0)
    x = np.repeat(np.float32(3 * generator.standard_normal([8, 1])), 200, axis=0)
    bijector, _ = initialized(x, dtype="float32", bins=32)
    bijector.widths.assign_add(np.float32(0.1 * generator.standard_normal([1, 32])))
    bijector.slopes.assign(tf.fill([1, 33], -1 / 3))
    knots = bijector.knots[0].numpy()[0]
    x = np.concatenate([knots, *(np.nextafter(knots[1:-1], np.float32(s)) for s in (-99, 99))])
    z, log_det = bijector.inverse_and_log_det(x[:, np.newaxis])
    again, log_det_back = bijector.forward_and_log_det(tf.identity(z))
    assert all(np.isfinite(value).all() for value in (z, log_det, again, log_det_back))
    np.testing.assert_allclose(again[:, 0], x, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5, 1000])
def test_lines_go_from_the_least_value_to_the_median_and_the_largest(count):
    x = np.random.default_rng(0).exponential(size=[count, 2])
    bijector, z = initialized(x, bins=7, start="lines")
    outer = norm.ppf(1 - 0.5 / max(count, 2))
    knots, latents = (value.numpy() for value in bijector.knots)
    for channel in range(2):
        ends = np.quantile(x[:, channel], [0.0, 0.5, 1.0])
        if count == 1:
            ends += [-1.0, 0.0, 1.0]
        expected = np.interp(latents[channel], [-outer, 0.0, outer], ends)
        np.testing.assert_allclose(knots[channel], expected, rtol=1e-6)
    np.testing.assert_allclose(bijector.forward(tf.identity(z)), x, atol=1e-9)


def test_single_precision_holds_a_background(peaked):
    x = peaked[..., :1].astype(np.float32)
    bijector, z = initialized(x, dtype="float32", bins=32)
    np.testing.assert_allclose(bijector.forward(tf.identity(z)), x, atol=1e-6)
    again = bijector.inverse(bijector.forward(tf.identity(z)))
    np.testing.assert_allclose(again, z, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels must be at least 1. Received: 0"),
        ({"channels": 2, "bins": 1}, "bins must be at least 2. Received: 1"),
        ({"channels": 2, "least": 0.0}, "least"),
        ({"channels": 2, "start": "line"}, "start must be one of"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MarginalGaussianization(**options)
