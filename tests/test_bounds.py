"""Bounds of the probability of integers: noise of a flow, importance weights, exact cases."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import randomize
from tfp_glow import flows
from tfp_glow.core.bijector import FlowBijector

tfd = tfp.distributions
BINS, SIZE, PLACE, WIDTH = 8, 3, 0.1, 0.2
X = np.array([[0, 3, 7], [4, 5, 4], [2, 6, 1]], np.int32)


def logistic() -> tfd.Distribution:
    place, width = (tf.constant(value, tf.float64) for value in (PLACE, WIDTH))
    return tfd.Sample(tfd.Logistic(place, width), SIZE)


def shares(x) -> tuple[np.ndarray, np.ndarray]:
    """The distribution function of the logistic at both ends of the bins of x."""
    law = scipy.stats.logistic(PLACE, WIDTH)
    return law.cdf(x / BINS - 0.5), law.cdf((x + 1) / BINS - 0.5)


EXACT = np.sum(np.log(np.subtract(*shares(X)[::-1])), -1)


class Posterior(FlowBijector):
    """Uniform latents to u with the density of (x + u) / BINS - 0.5 within the bin of x."""

    def __init__(self, *, name=None):
        super().__init__(
            forward_min_event_ndims=1, condition_shape=(SIZE,), dtype="float64", name=name
        )

    def _forward_and_log_det(self, z, condition=None):
        x = (condition + 0.5) * BINS - 0.5
        low, high = (tf.sigmoid((e / BINS - 0.5 - PLACE) / WIDTH) for e in (x, x + 1.0))
        share = low + (high - low) * z
        y = PLACE + WIDTH * (tf.math.log(share) - tf.math.log1p(-share))
        slope = BINS * WIDTH * (high - low) / (share * (1.0 - share))
        return (y + 0.5) * BINS - x, tf.reduce_sum(tf.math.log(slope), -1)

    def _inverse_and_log_det(self, x, condition=None):
        raise NotImplementedError


def uniform_base() -> tfd.Distribution:
    return tfd.Sample(tfd.Uniform(tf.constant(0.0, tf.float64), 1.0), SIZE)


def test_noise_of_the_posterior_makes_every_bound_exact():
    noise = tg.Flow(uniform_base(), Posterior())
    distribution = tg.Dequantized(logistic(), BINS, noise=noise)
    for kwargs in ({"seed": 1}, {"seed": 2, "num_samples": 3}):
        np.testing.assert_allclose(distribution.log_prob(X, **kwargs), EXACT, atol=1e-10)
    bits = distribution.bits_per_dim(X, seed=1)
    np.testing.assert_allclose(bits, -EXACT / (SIZE * np.log(2)), atol=1e-10)


def test_bounds_rise_with_the_number_of_samples_to_the_log_probability():
    distribution = tg.Dequantized(logistic(), BINS)
    x = np.repeat(X[:1], 20_000, 0)
    means, errors = [], []
    for count in (1, 4, 16, 64):
        bounds = distribution.log_prob(x, num_samples=count, seed=count)
        means.append(np.mean(bounds))
        errors.append(np.std(bounds) / np.sqrt(len(x)))
    assert (np.diff(means) > 0).all()
    assert (np.array(means) < EXACT[0] + 4 * np.array(errors)).all()
    np.testing.assert_allclose(means[-1], EXACT[0], atol=2e-3)
    one, same, other = (distribution.log_prob(X, num_samples=4, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).numpy().all()


def test_the_density_of_learned_noise_integrates_to_one_and_all_of_it_learns():
    noise = flows.dequantization_noise(2, couplings=3, hidden_units=(8,), seed=0, dtype="float64")
    with tf.GradientTape() as tape:
        flow = flows.realnvp(2, steps=1, hidden_units=(4,), seed=1, dtype="float64")
        distribution = tg.Dequantized(flow, BINS, noise=noise)
        randomize(noise.bijector, scale=0.3)
        randomize(flow.bijector)
        loss = tf.reduce_mean(distribution.log_prob(X[:, :2], seed=0))
    gradients = tape.gradient(loss, distribution.trainable_variables)
    variables = {id(v) for part in (flow, noise) for v in part.trainable_variables}
    assert {id(v) for v in distribution.trainable_variables} == variables
    assert all(np.any(gradient != 0) for gradient in gradients)
    axis = np.arange(-30.0, 30.0, 0.1)  # Of logits, since there is much close to the ends.
    u = tf.sigmoid(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    for condition in ([-0.4, 0.3], [0.1, 0.1]):
        density = tf.exp(noise.log_prob(u, condition=np.broadcast_to(condition, u.shape)))
        of_logits = density * tf.reduce_prod(u * (1.0 - u), -1)
        np.testing.assert_allclose(np.sum(of_logits) * 0.01, 1.0, atol=1e-3)
    drawn, log_q = noise.decode_and_log_prob(noise.distribution.sample(5, seed=1), [0.1, 0.1])
    again = noise.log_prob(tf.identity(drawn), condition=[0.1, 0.1])
    np.testing.assert_allclose(log_q, again, atol=1e-8)


@pytest.mark.slow
def test_learned_noise_of_images_trains_and_is_saved(tmp_path):
    images = np.random.default_rng(0).integers(0, 4, [16, 4, 4, 1]).astype("uint8")
    flow = flows.glow((4, 4, 1), levels=1, steps=1, hidden_channels=4, seed=0)
    noise = flows.dequantization_noise((4, 4, 1), couplings=2, hidden_channels=4, seed=1)
    model = tg.FlowModel(tg.Dequantized(flow, 4, noise=noise), seed=0)
    model.compile(keras.optimizers.Adamax(1e-2))
    before = [v.numpy() for v in noise.trainable_variables]
    fitted = model.fit(images, batch_size=8, epochs=10, shuffle=False, verbose=0)
    losses = fitted.history["bits_per_dim"]
    assert losses[-1] < losses[0]
    assert noise.initialized
    assert any(np.any(a != b) for a, b in zip(before, noise.trainable_variables, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").distribution
    bounds = (d.log_prob(images, num_samples=2, seed=3) for d in (loaded, model.distribution))
    np.testing.assert_allclose(*bounds, atol=1e-5)


def test_noise_that_leaves_its_bin_is_nan():
    outside = tg.Flow(uniform_base(), tfp.bijectors.Shift(tf.constant(0.5, tf.float64)))
    log_prob = tg.Dequantized(logistic(), BINS, noise=outside).log_prob(X, seed=0)
    assert np.isnan(log_prob).any()


@pytest.mark.parametrize(
    ("noise", "error", "message"),
    [
        (lambda: tg.standard_normal(2), TypeError, "noise must be a Flow"),
        (lambda: flows.maf(3), ValueError, r"flow's event shape \(2,\)"),
        (lambda: flows.maf(2, dtype="float64"), ValueError, "dtype float32"),
        (lambda: flows.maf(2, condition_size=3), ValueError, "a condition of 2 values"),
        (lambda: flows.maf(2, num_classes=3), ValueError, "a condition of 2 values"),
    ],
)
def test_noise_that_does_not_fit_is_refused(noise, error, message):
    with pytest.raises(error, match=message):
        tg.Dequantized(flows.maf(2), 4, noise=noise())


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        tg.Dequantized(logistic(), BINS).log_prob(X, num_samples=0)
    with pytest.raises(ValueError, match="event_shape must be an int or"):
        flows.dequantization_noise((2, 2))
    with pytest.raises(ValueError, match="condition_size must be a multiple of 4"):
        tg.networks.ImageReader(1, hidden_channels=2, blocks=1, inputs=(2, 2, 1), condition_size=5)
