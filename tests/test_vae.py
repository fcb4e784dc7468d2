"""VAE: bounds against closed forms, training, files, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal
from tfp_glow import flows
from tfp_glow.fitting import LossNotFiniteError
from tfp_glow.inference.likelihoods import get_likelihood

tfd = tfp.distributions

GENERATOR = np.random.default_rng(0)
BITS = (GENERATOR.random([50, 6]) < 0.3).astype("uint8")
IMAGES = GENERATOR.integers(0, 16, [40, 2, 2, 3])
LATENTS, FEATURES = 2, 5


def mlp(inputs: int, outputs: int, *, units: int = 8, seed: int = 0, **kwargs) -> keras.Model:
    layers = [
        keras.layers.Dense(n, a, kernel_initializer=keras.initializers.GlorotUniform(seed + i))
        for i, (n, a) in enumerate([(units, "relu"), (outputs, None)])
    ]
    return keras.Sequential([keras.Input([inputs], **kwargs), *layers])


def planar() -> tg.Flow:
    flow = flows.planar(LATENTS, steps=2, hidden_units=(), condition_size=FEATURES, seed=0)
    return flows.gaussian_base(flow, seed=0)


def bit_model(**kwargs) -> tg.VAE:
    arguments = {"posterior": planar(), "seed": 0, **kwargs}
    return tg.VAE(mlp(6, FEATURES), mlp(LATENTS, 6), **arguments)


def image_model() -> tg.VAE:
    """Of integers, with a prior that learns too and convolutions that hold statistics."""
    layers = keras.layers
    encoder = keras.Sequential(
        [
            keras.Input([2, 2, 3]),
            layers.Conv2D(4, 2),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(FEATURES),
        ]
    )
    decoder = keras.Sequential(
        [keras.Input([LATENTS]), layers.Dense(24), layers.Reshape([2, 2, 6])]
    )
    return tg.VAE(
        encoder,
        decoder,
        posterior=flows.gaussian(LATENTS, condition_size=FEATURES, seed=0),
        prior=flows.maf(LATENTS, steps=1, hidden_units=(4,), seed=0),
        likelihood="discretized_logistic",
        num_bins=16,
        samples=3,
        warmup_steps=2,
        seed=5,
    )


def scaled(images) -> np.ndarray:
    return (images + 0.5) / 16 - 0.5


def fit(model: tg.VAE, x, **kwargs) -> dict:
    return model.fit(x, **{"batch_size": 16, "shuffle": False, "verbose": 0, **kwargs}).history


@pytest.fixture(scope="module")
def fitted() -> tuple[tg.VAE, dict]:
    model = image_model()
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    return model, fit(model, IMAGES, epochs=3, validation_data=(IMAGES[:8],))


class Linear:
    """x = W z + b + sigma noise with z standard normal, of which all is known."""

    def __init__(self, data: int = 3, sigma: float = 0.5):
        self.weights = np.linalg.qr(GENERATOR.standard_normal([data, LATENTS]))[0] * [1.5, 0.4]
        self.offset, self.sigma = GENERATOR.standard_normal(data), sigma

    def log_prob(self, x) -> np.ndarray:
        covariance = self.weights @ self.weights.T + self.sigma**2 * np.eye(len(self.offset))
        return tfd.MultivariateNormalTriL(self.offset, np.linalg.cholesky(covariance)).log_prob(x)

    def model(self, *, scale_of_posterior: float = 1.0) -> tg.VAE:
        """A VAE whose posterior is the exact one, or one with other standard deviations."""
        data = len(self.offset)
        encoder = keras.Sequential(
            [keras.Input([data]), keras.layers.Dense(LATENTS, dtype="float64")]
        )
        decoder = keras.Sequential(
            [keras.Input([LATENTS]), keras.layers.Dense(2 * data, dtype="float64")]
        )
        options = {"condition_size": LATENTS, "dtype": "float64"}
        posterior = flows.gaussian(LATENTS, **options)
        # The columns of W are orthogonal, so that the exact posterior's covariance is diagonal.
        precisions = 1.0 + np.sum(self.weights**2, 0) / self.sigma**2
        means = self.weights / self.sigma**2 / precisions
        encoder.layers[0].set_weights([means, -self.offset @ means])
        raw_sigma = _raw(np.log(self.sigma))
        decoder.layers[0].set_weights(
            [
                np.concatenate([self.weights.T, np.zeros([LATENTS, data])], 1),
                np.concatenate([self.offset, np.full(data, raw_sigma)]),
            ]
        )
        affine = posterior.bijector.bijectors[0]
        stds = scale_of_posterior / np.sqrt(precisions)
        identity = np.concatenate([np.eye(LATENTS), np.zeros([LATENTS, LATENTS])], 1)
        affine._network.last.set_weights(
            [identity, np.append(np.zeros(LATENTS), _raw(np.log(stds)))]
        )
        return tg.VAE(encoder, decoder, posterior=posterior, likelihood="normal", seed=0)


def _raw(log_scale):
    return 7.0 * np.arctanh(log_scale / 7.0)


def test_with_the_exact_posterior_every_bound_is_the_density():
    linear, x = Linear(), normal([5, 3]).numpy()
    model = linear.model()
    log_likelihood, kl = model(x)
    assert log_likelihood.shape == kl.shape == (1, 5)
    np.testing.assert_allclose((log_likelihood - kl)[0], linear.log_prob(x), atol=1e-9)
    np.testing.assert_allclose(
        model.importance_weighted_bound(x, 10), linear.log_prob(x), atol=1e-9
    )


@pytest.mark.slow
def test_importance_weights_close_the_gap_of_a_posterior_that_is_too_wide():
    linear, x = Linear(), normal([500, 3]).numpy()
    model = linear.model(scale_of_posterior=2.0)
    exact = linear.log_prob(x).numpy()
    # KL of N(m, (2 s)^2) from N(m, s^2), of two latents.
    gap = LATENTS * (0.5 * (2.0**2 - 1.0) - np.log(2.0))
    bounds = [model.importance_weighted_bound(x, k, seed=3) for k in (1, 10, 5000)]
    gaps = [np.mean(exact - bound) for bound in bounds]
    assert gaps[0] == pytest.approx(gap, abs=0.3)
    assert gaps[0] > gaps[1] > gaps[2]
    np.testing.assert_allclose(bounds[2], exact, atol=0.15)
    model.compile("sgd", jit_compile=False)
    repeated = np.repeat(x[:1], 4000, 0)
    nats = model.evaluate(repeated, batch_size=4000, verbose=0, return_dict=True)["nats"]
    assert nats == pytest.approx(gap - exact[0], abs=0.15)
    np.testing.assert_array_equal(
        model.importance_weighted_bound(x[:3], 10), model.importance_weighted_bound(x[:3], 10)
    )


@pytest.mark.slow
def test_the_losses_are_the_bounds_by_hand(fitted):
    model, _ = fitted
    x, seed = IMAGES[:4], tf.constant([1, 2])
    log_likelihood, kl = (np.asarray(v, "float64") for v in model((x, None, seed)))
    assert log_likelihood.shape == (3, 4)
    features = model.encoder(scaled(x))
    z = model.posterior.sample([3, 4], condition=features, seed=seed)
    log_q = model.posterior.log_prob(tf.identity(z), condition=features)
    np.testing.assert_allclose(kl, log_q - model.prior.log_prob(z), rtol=1e-4, atol=1e-4)
    loc, log_scale = np.split(
        np.reshape(model.decoder(tf.reshape(z, [12, 2])), [3, 4, 2, 2, 6]), 2, -1
    )
    scale = 16 * np.exp(7 * np.tanh(log_scale / 7))
    ends = np.stack([x - 0.5, x + 0.5])
    ends = np.where([x == 0, x == 15], [[[[[-np.inf]]]], [[[[np.inf]]]]], ends)[:, None]
    low, high = 1 / (1 + np.exp(-(ends - (16 * (loc + 0.5) - 0.5)) / scale))
    by_hand = np.log(high - low).sum((2, 3, 4))
    np.testing.assert_allclose(log_likelihood, by_hand, rtol=1e-4, atol=1e-3)
    expected = -np.mean(np.log(np.mean(np.exp(log_likelihood - kl), 0)))
    with tg.evaluation():
        loss = model.compute_loss(x, None, (log_likelihood, kl))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_fit_reports_warms_up_and_improves(fitted):
    _, history = fitted
    reported = {"loss", "nats", "kl", "reconstruction", "bits_per_dim"}
    assert set(history) == reported | {f"val_{name}" for name in reported}
    assert history["val_loss"] == history["val_nats"]
    assert history["loss"][0] != history["nats"][0]  # Two of its steps are of the warmup.
    np.testing.assert_allclose(history["loss"][1:], history["nats"][1:], rtol=1e-6)
    assert history["nats"][2] < history["nats"][0]
    np.testing.assert_allclose(
        history["bits_per_dim"], np.divide(history["nats"], 12 * np.log(2)), rtol=1e-5
    )


@pytest.mark.slow
def test_a_saved_model_is_the_same_and_goes_on_with_the_same_noise(fitted, tmp_path):
    fitted[0].save(tmp_path / "model.keras")
    resumed, whole = keras.saving.load_model(tmp_path / "model.keras"), fitted[0]
    np.testing.assert_array_equal(
        resumed.predict(IMAGES, verbose=0), whole.predict(IMAGES, verbose=0)
    )
    np.testing.assert_array_equal(resumed.sample(3, seed=1), whole.sample(3, seed=1))
    keras.utils.set_random_seed(1)
    first = fit(whole, IMAGES)
    keras.utils.set_random_seed(2)
    assert fit(resumed, IMAGES) == first
    for variable, other in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(variable, other)
    assert whole.evaluate(IMAGES, verbose=0) == whole.evaluate(IMAGES, verbose=0)


def test_the_bound_takes_seeds_of_any_kind(fitted):
    model, _ = fitted
    for seed in (3, [3, 4], tf.constant([3, 4])):
        bound = model.bound(IMAGES[:4], seed=seed)
        np.testing.assert_array_equal(model.bound(IMAGES[:4], seed=seed), bound)
    assert (model.bound(IMAGES[:4], seed=4) != bound).numpy().any()


def test_samples_and_reconstructions(fitted):
    model, _ = fitted
    x = model.sample(5, seed=1)
    assert x.dtype == tf.int32
    assert x.shape == (5, 2, 2, 3)
    assert 0 <= np.min(x) <= np.max(x) <= 15
    np.testing.assert_array_equal(x, model.sample(5, seed=1))
    z = model.encode(IMAGES[:4])
    affine, features = model.posterior.bijector.bijectors[0], model.encoder(scaled(IMAGES[:4]))
    mean, _ = tf.split(affine._network(features), 2, -1)
    np.testing.assert_allclose(z, affine.mean + mean, atol=1e-5)
    np.testing.assert_array_equal(model.reconstruct(IMAGES[:4]), model.decode(z))
    drawn = [model.encode(IMAGES[:4], temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.any(drawn[0] != drawn[2])
    assert model.predict(IMAGES[:0]).shape == (0,)


@pytest.mark.slow
def test_export_runs_in_tensorflow_alone(fitted, tmp_path):
    model, _ = fitted
    model.export_saved_model(tmp_path / "model")
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    assert set(signatures) == {"encode", "decode", "sample", "serving_default"}
    z = signatures["encode"](x=tf.constant(IMAGES[:3], tf.int32))["z"]
    np.testing.assert_allclose(z, model.encode(IMAGES[:3]), atol=1e-5)
    np.testing.assert_array_equal(signatures["decode"](z=z)["x"], model.decode(z))
    options = {"temperature": tf.constant(1.0), "seed": tf.constant(2)}
    x = signatures["sample"](num_samples=tf.constant(4), **options)["x"]
    assert x.shape == (4, 2, 2, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[batch, 2\]"):
        signatures["decode"](z=z[:, :1])
    with pytest.raises(ValueError, match="path must not exist yet"):
        model.export_saved_model(tmp_path / "model")
    model.export(str(tmp_path / "served"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    log_likelihood, kl = served.serve(tf.constant(IMAGES[:3], tf.float32))
    assert log_likelihood.shape == kl.shape == (3, 3)


@pytest.mark.slow
def test_a_fit_compiled_by_xla_in_mixed_precision_with_any_prior():
    encoder, decoder = mlp(6, FEATURES), mlp(LATENTS, 6)
    for network in (encoder, decoder):
        for layer in network.layers:
            layer.dtype_policy = "mixed_bfloat16"
    loc = tf.Variable(tf.zeros([LATENTS]), name="loc")
    prior = tfd.Independent(tfd.Normal(loc, 1.0), 1)
    posterior = flows.gaussian(LATENTS, condition_size=FEATURES, seed=0)
    model = tg.VAE(encoder, decoder, posterior=posterior, prior=prior, seed=0)
    model.compile(keras.optimizers.Adam(3e-2), jit_compile=True)
    history = fit(model, BITS[:48], epochs=4)
    assert history["loss"][-1] < history["loss"][0]
    assert np.all(loc != 0.0)
    assert model.sample(2, seed=0).shape == (2, 6)
    with pytest.raises(ValueError, match="temperature must be 1 for a prior that is no Flow"):
        model.sample(2, temperature=0.5)


@pytest.mark.parametrize("num_bins", [2, 16])
def test_the_discretized_logistic_sums_to_one_and_is_finite_far_away(num_bins):
    likelihood = get_likelihood("discretized_logistic", num_bins)
    x = tf.cast(tf.range(num_bins), "float64")[:, tf.newaxis, tf.newaxis]
    raw = tf.constant([[[0.1, -2.0]], [[30.0, -6.0]], [[-0.5, 4.0]], [[-900.0, -90.0]]], "float64")
    with tf.GradientTape() as tape:
        tape.watch(raw)
        log_prob = likelihood.log_prob(raw, x[:, tf.newaxis], event_ndims=2)
    assert np.isfinite(log_prob).all()
    assert np.isfinite(tape.gradient(log_prob, raw)).all()
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(log_prob), 0), 1.0, atol=1e-12)
    assert np.isnan(likelihood.log_prob(raw, x[-1:] + 1.0, event_ndims=2)).all()


BAD_DATA = {
    "not binary": ("bernoulli", BITS * 3, "x must hold zeros and ones alone.*from 0 to 3"),
    "NaN": ("normal", np.where(BITS, np.nan, 0.0), "x must hold finite numbers.*from nan"),
    "too large": ("discretized_logistic", BITS * 4, "x must hold integers from 0 to 3"),
    "fractions": ("discretized_logistic", BITS * 0.5, "x must hold integers from 0 to 3"),
}


@pytest.mark.parametrize(("likelihood", "x", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_are_named(likelihood, x, message):
    parameters = 1 if likelihood == "bernoulli" else 2
    bins = {"num_bins": 4} if likelihood == "discretized_logistic" else {}
    decoder = mlp(LATENTS, 6 * parameters)
    model = tg.VAE(mlp(6, FEATURES), decoder, posterior=planar(), likelihood=likelihood, **bins)
    model.compile("sgd", jit_compile=False)
    calls = (model.fit, model.evaluate, model.predict, model.encode)
    for call in (*calls, lambda x: model.importance_weighted_bound(x, 2)):
        with pytest.raises(ValueError, match=message):
            call(x)
    if likelihood == "bernoulli":
        with pytest.raises(ValueError, match=r"x must have shape \[N, 6\]. Received: shape"):
            model.encode(BITS[:, :5])
        with pytest.raises(LossNotFiniteError, match="The loss is nan in step"):
            model.fit(tf.data.Dataset.from_tensors(x), verbose=0)
        with pytest.raises(ValueError, match="y must be omitted"):
            model.fit(BITS, BITS)


GAUSSIAN = {"condition_size": FEATURES, "seed": 0}
BAD_PARTS = {
    "encoder": (lambda: tg.VAE(abs, mlp(2, 6), posterior=planar()), TypeError, "encoder must be"),
    "no shapes": (
        lambda: tg.VAE(keras.Sequential([keras.layers.Dense(2)]), mlp(2, 6), posterior=planar()),
        ValueError,
        "encoder must be a model with one keras.Input",
    ),
    "posterior": (
        lambda: bit_model(posterior=tfd.Normal(0.0, 1.0)),
        TypeError,
        "posterior must be a Flow with a condition",
    ),
    "no condition": (
        lambda: bit_model(posterior=flows.gaussian(2)),
        ValueError,
        r"posterior must have a condition.*Received: condition shape None and features \(5,\)",
    ),
    "features": (
        lambda: tg.VAE(mlp(6, 4), mlp(2, 6), posterior=planar()),
        ValueError,
        r"condition shape \(5,\) and features \(4,\)",
    ),
    "prior": (
        lambda: bit_model(prior=tg.standard_normal(3)),
        ValueError,
        r"prior must have events of shape \(2,\).*Received: event shape \(3,\)",
    ),
    "prior's dtype": (
        lambda: bit_model(prior=tg.standard_normal(2, "float64")),
        ValueError,
        "prior must have the posterior's dtype",
    ),
    "prior's condition": (
        lambda: bit_model(prior=flows.gaussian(2, **GAUSSIAN)),
        ValueError,
        "prior must take no condition",
    ),
    "latents": (
        lambda: bit_model(posterior=flows.gaussian(3, **GAUSSIAN)),
        ValueError,
        r"decoder must take latents of shape \(3,\).*Received: a decoder of shape \(2,\)",
    ),
    "parameters": (
        lambda: bit_model(likelihood="normal"),
        ValueError,
        r"decoder must give parameters of shape \(12,\).*Received: shape \(6,\)",
    ),
    "likelihood": (lambda: bit_model(likelihood="poisson"), ValueError, "likelihood must be one"),
    "bins": (lambda: bit_model(num_bins=4), ValueError, "num_bins means nothing to"),
    "samples": (lambda: bit_model(samples=0), ValueError, "samples must be at least 1"),
    "warmup": (lambda: bit_model(warmup_steps=-1), ValueError, "warmup_steps must be at least 0"),
}


@pytest.mark.parametrize(("make", "error", "message"), BAD_PARTS.values(), ids=BAD_PARTS)
def test_parts_that_do_not_fit_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
