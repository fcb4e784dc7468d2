"""Flows side by side, and mixtures of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal, randomize
from tests.test_recipes import SMALL, data, event_shape
from tfp_glow import flows
from tfp_glow.inference import expectation_maximization

tfd = tfp.distributions
QUICK = ("maf", "realnvp-images")
# One of each kind of what seeds draw: masks, permutations, rotations, directions, noise.
ALIKE = ("coupling_spline", "glow", "maf", "planar", "realnvp-images", "residual_flow", "sylvester")


def alike(name: str, count: int = 3, dtype: str = "float64") -> list[tg.Flow]:
    """Flows of one recipe, each with random weights of its own."""
    arguments = {key: value for key, value in SMALL[name].items() if key != "order"}
    recipe = flows.RECIPES[name.removesuffix("-images")]
    made = [recipe(event_shape(name), seed=seed, dtype=dtype, **arguments) for seed in range(count)]
    for seed, flow in enumerate(made):
        flow.initialize(data(name, dtype=dtype))
        randomize(flow, seed, scale=0.05)
    return made


def mixture_of(components: tg.Flow) -> tfd.MixtureSameFamily:
    logits = tf.Variable(tf.zeros(components.batch_shape, components.dtype))
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALIKE)
def test_values_are_those_of_the_flows(name):
    """Which shows that all that seeds draw is among the variables."""
    parts, x = alike(name), data(name, 4, "float64")
    stacked = flows.stack(parts)
    with tg.evaluation():
        expected = tf.stack([flow.log_prob(x) for flow in parts], -1)
        np.testing.assert_allclose(stacked.log_prob(x[:, tf.newaxis]), expected, rtol=1e-9)
    z = tf.stack([flow.encode(x) for flow in parts], 1)
    np.testing.assert_allclose(stacked.encode(x[:, tf.newaxis]), z, rtol=1e-9, atol=1e-12)
    restored = stacked.decode(tf.identity(z))
    np.testing.assert_allclose(restored, tf.stack([x] * 3, 1), atol=1e-5)


@pytest.fixture(scope="module")
def parts() -> list[tg.Flow]:
    return alike("maf")


@pytest.fixture(scope="module")
def stacked(parts) -> tg.Flow:
    return flows.stack(parts)


@pytest.mark.slow
def test_gradients_are_those_of_the_flows(parts, stacked):
    """Compiled, with a dynamic batch; a variable's gradient is the stack of the flows'."""
    x = data("maf", 4, "float64")

    @tf.function(jit_compile=True, input_signature=[tf.TensorSpec([None, 3], tf.float64)])
    def gradients(x):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(stacked.log_prob(x[:, tf.newaxis]))
        return tape.gradient(total, [v.value for v in stacked.bijector.keras_variables[:4]])

    expected = []
    for flow in parts:
        variables = [v.value for v in flow.bijector.keras_variables[:4]]
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(flow.log_prob(x))
        expected.append(tape.gradient(total, variables))
    for received, wanted in zip(gradients(x), zip(*expected, strict=True), strict=True):
        if received is not None:
            np.testing.assert_allclose(received, tf.stack(wanted), rtol=1e-8, atol=1e-12)


def test_shapes_and_variables(parts, stacked):
    assert stacked.batch_shape == (3,)
    assert stacked.event_shape == (3,)
    samples = stacked.sample([2, 4], seed=1)
    assert samples.shape == (2, 4, 3, 3)
    assert stacked.log_prob(samples).shape == (2, 4, 3)
    held = {id(v) for v in stacked.variables}
    assert not held & {id(v) for flow in parts for v in flow.variables}
    assert len(stacked.trainable_variables) == len(parts[0].trainable_variables)


def test_initialization_is_that_of_each_flow():
    x = 3 + 2 * normal((64, 2))
    parts = [flows.linear(2, seed=seed, dtype="float64") for seed in range(2)]
    stacked = flows.stack(parts)
    assert not stacked.initialized
    z = stacked.initialize(x[:, tf.newaxis])
    assert stacked.initialized
    assert z.shape == (64, 2, 2)
    np.testing.assert_allclose(tf.reduce_mean(z, 0), 0, atol=1e-12)
    expected = [flow.initialize(x) for flow in parts]
    np.testing.assert_allclose(z, tf.stack(expected, 1), rtol=1e-9)


@pytest.mark.slow
def test_a_mixture_trains_by_gradients(tmp_path):
    x = data("maf", 64)
    mixture = mixture_of(flows.stack(alike("maf", 2, "float32")))
    model = tg.FlowModel(mixture)
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(x, batch_size=32, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert np.abs(mixture.mixture_distribution.logits).max() > 0
    components = mixture.components_distribution
    joint = np.log(mixture.mixture_distribution.probs_parameter()) + components.log_prob(x[:, None])
    shares = np.exp(joint - np.logaddexp.reduce(joint, -1, keepdims=True))
    received = mixture.posterior_marginal(x).probs_parameter()
    np.testing.assert_allclose(received, shares, atol=1e-5)
    alone = tg.FlowModel(components)
    alone.save(tmp_path / "components.keras")
    loaded = keras.saving.load_model(tmp_path / "components.keras").distribution
    np.testing.assert_allclose(loaded.log_prob(x[:, None]), components.log_prob(x[:, None]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: [], ValueError, "at least one flow"),
        (lambda: [flows.maf(2), None], TypeError, r"flows\[1\]"),
        (lambda: [flows.maf(2), flows.iaf(2)], ValueError, "built by one recipe"),
        (lambda: [flows.maf(2), flows.maf(2, law="affine")], ValueError, "built by one recipe"),
        (lambda: [flows.maf(2, order="random")], ValueError, "same order"),
        (lambda: [flows.maf(2, num_classes=3)], ValueError, "no condition"),
        (lambda: [tg.Flow(tg.standard_normal(2), tg.bijectors.ActNorm(2))], ValueError, "recipe"),
    ],
)
def test_bad_flows(make, error, message):
    with pytest.raises(error, match=message):
        flows.stack(make())


def test_events_of_another_number(stacked):
    with pytest.raises(ValueError, match="1 or 3 events"):
        stacked.log_prob(normal((4, 2, 3)))


# Expectation maximization.


def blobs() -> np.ndarray:
    generator = np.random.default_rng(0)
    sheared = generator.normal([3, 1], [0.5, 1], (150, 2)) @ [[1, 0.3], [0, 1]]
    others = [generator.normal([0, 0], [1, 0.5], (100, 2)), generator.normal([-2, 3], 0.7, (80, 2))]
    return np.concatenate([others[0], sheared, others[1]])


def gaussian_log_prob(x, mean, covariance) -> np.ndarray:
    apart = x - mean
    squares = np.sum(apart @ np.linalg.inv(covariance) * apart, 1)
    return -0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])


def closed_form(x, means, covariances, num_steps: int) -> tuple[list, np.ndarray]:
    """Mean log-likelihoods of EM with Gaussian components, and the weights at its end."""
    weights, history = np.full(len(means), 1 / len(means)), []
    for _ in range(num_steps + 1):
        pairs = zip(means, covariances, strict=True)
        joint = np.log(weights) + np.stack([gaussian_log_prob(x, *pair) for pair in pairs], 1)
        likelihood = np.logaddexp.reduce(joint, 1)
        history.append(likelihood.mean())
        last, shares = weights, np.exp(joint - likelihood[:, None])
        weights, total = shares.mean(0), shares.sum(0)
        means = shares.T @ x / total[:, None]
        apart = x[:, None] - means
        covariances = np.einsum("nk,nki,nkj->kij", shares, apart, apart) / total[:, None, None]
    return history, last


@pytest.mark.slow
def test_em_of_linear_flows_is_em_of_gaussians():
    x, starts = blobs(), (slice(0, 100), slice(60, 200), slice(200, 330))
    parts = [flows.linear(2, seed=seed, dtype="float64") for seed in range(3)]
    for flow, start in zip(parts, starts, strict=True):
        flow.initialize(x[start])
    mixture = mixture_of(flows.stack(parts))
    center, *ends = (tf.stack([f.decode(tf.constant(z, tf.float64)) for f in parts]).numpy()
                     for z in ([0, 0], [1, 0], [0, 1]))  # fmt: skip
    columns = np.stack([end - center for end in ends], -1)
    expected, weights = closed_form(x, center, columns @ np.swapaxes(columns, 1, 2), 3)
    history = expectation_maximization(mixture, x, num_steps=3)
    np.testing.assert_allclose(history, expected, atol=1e-6)
    probabilities = mixture.mixture_distribution.probs_parameter()
    np.testing.assert_allclose(probabilities, weights, atol=1e-6)
    assert np.diff(history).min() > 0


@pytest.mark.slow
def test_em_of_flows_never_falls():
    mixture = mixture_of(flows.stack(alike("maf", 2)))
    x = data("maf", 64, "float64")
    history = expectation_maximization(mixture, x, num_steps=4, max_iterations=5)
    assert np.diff(history).min() >= 0
    assert history[-1] > history[0] + 0.1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda s: (s, normal((4, 3))), TypeError, "mixture must be a tfd.Mixture"),
        (lambda s: (mixture_of(s), normal((4, 2))), ValueError, "x must have shape"),
        (lambda s: (mixture_of(s), normal((0, 3))), ValueError, "x must have shape"),
        (lambda s: (mixture_of(s), normal((4, 3)) / 0), ValueError, "x must be finite"),
        (
            lambda s: (tfd.MixtureSameFamily(tfd.Categorical(logits=[0.0] * 3), s), normal((4, 3))),
            TypeError,
            "tf.Variable",
        ),
    ],
)
def test_bad_mixtures(stacked, make, error, message):
    with pytest.raises(error, match=message):
        expectation_maximization(*make(stacked), num_steps=1)
