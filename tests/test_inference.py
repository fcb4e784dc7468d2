"""Surrogate posteriors, their fits and diagnoses, and NeuTra, against closed forms."""

import functools
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import jacobian_log_det, normal, randomize

tfb, tfd = tfp.bijectors, tfp.distributions
inference = tg.inference
Joint = tfp.experimental.distributions.JointDistributionPinned
NORMAL = tfd.Normal(0.0, 1.0)
SMALL_IAF = functools.partial(tg.flows.iaf, steps=2, hidden_units=(8,))


def coroutine() -> Joint:
    """A location, a scale, a vector, and an end that depends on the scale."""
    one = tf.ones([], "float64")

    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        mu = yield tfd.Normal(0 * one, one, name="mu")
        tau = yield tfd.Exponential(one, name="tau")
        eta = yield tfd.Sample(tfd.Normal(mu, tau), 2, name="eta")
        end = yield tfd.Uniform(-tau, tau, name="end")
        yield tfd.Normal(tf.reduce_sum(eta) + end, one, name="y")

    return model.experimental_pin(y=one)


def named() -> Joint:
    one = tf.ones([], "float64")
    model = tfd.JointDistributionNamed(
        {
            "tau": tfd.Exponential(one),
            "mu": lambda tau: tfd.Sample(tfd.Normal(0 * one, tau), 2),
            "y": lambda mu: tfd.Normal(tf.reduce_sum(mu, -1), one),
        }
    )
    return model.experimental_pin(y=one)


def sequential() -> Joint:
    one = tf.ones([], "float64")
    model = tfd.JointDistributionSequential(
        [tfd.Exponential(one), lambda tau: tfd.Normal(0 * one, tau), lambda mu: tfd.Normal(mu, one)]
    )
    return model.experimental_pin(None, None, one)


def conjugate() -> Joint:
    """mu ~ N(0, 1), four data of N(mu, 1) with sum 4: the posterior is N(0.8, 1/5)."""
    model = tfd.JointDistributionNamed(
        {
            "mu": tfd.Sample(tfd.Normal(0.0, 1.0), 1),
            "y": lambda mu: tfd.Independent(tfd.Normal(mu + tf.zeros(4), 1.0), 1),
        }
    )
    return model.experimental_pin(y=[0.0, 1.0, 1.0, 2.0])


def log_evidence() -> float:
    """log p(y) of `conjugate`: y is normal with covariance I + 1 1'."""
    covariance = tf.eye(4) + tf.ones([4, 4])
    joint_normal = tfd.MultivariateNormalTriL(tf.zeros(4), tf.linalg.cholesky(covariance))
    return float(joint_normal.log_prob([0.0, 1.0, 1.0, 2.0]))


@pytest.mark.slow
@pytest.mark.parametrize("make", [coroutine, named, sequential])
def test_a_surrogate_has_the_joints_structure_and_an_exact_density(make):
    joint = make()
    surrogate = inference.surrogate_posterior(joint, flow=SMALL_IAF, seed=0)
    randomize(surrogate)
    x, log_q = surrogate.experimental_sample_and_log_prob(3, seed=1)
    tf.nest.assert_same_structure(x, joint.dtype)
    for value, shape in zip(tf.nest.flatten(x), tf.nest.flatten(joint.event_shape), strict=True):
        assert value.shape == (3, *shape)
    assert np.isfinite(joint.unnormalized_log_prob(x)).all()

    def generate(z):
        parts = surrogate.bijector.forward(surrogate.flow.decode(z))
        return tf.concat([tf.reshape(part, [len(z), -1]) for part in tf.nest.flatten(parts)], -1)

    copy = tf.nest.map_structure(tf.identity, x)
    z = surrogate.flow.encode(surrogate.bijector.inverse(copy))
    expected = tf.reduce_sum(tfd.Normal(0 * z, 1.0).log_prob(z), -1)
    expected -= [jacobian_log_det(generate, event) for event in z]
    np.testing.assert_allclose(log_q, expected, rtol=1e-9)
    np.testing.assert_allclose(surrogate.log_prob(copy), expected, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_fit_finds_a_conjugate_posterior_and_its_evidence(jit_compile):
    joint = conjugate()
    surrogate = inference.surrogate_posterior(joint, flow=SMALL_IAF, seed=0)
    before = inference.diagnose(joint, surrogate, seed=0)
    losses = inference.fit_surrogate_posterior(
        joint,
        surrogate,
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.03, 300)),
        num_steps=300,
        seed=0,
        jit_compile=jit_compile,
    )
    assert losses.shape == (300,)
    mu = surrogate.sample(20000, seed=1)["mu"]
    np.testing.assert_allclose(np.mean(mu), 0.8, atol=0.02)
    np.testing.assert_allclose(np.std(mu), np.sqrt(0.2), atol=0.02)
    after = inference.diagnose(joint, surrogate, seed=0)
    assert before.elbo < before.importance_bound < log_evidence() + 0.05
    np.testing.assert_allclose(after.elbo, log_evidence(), atol=0.01)
    np.testing.assert_allclose(after.importance_bound, log_evidence(), atol=0.01)
    assert after.elbo <= after.importance_bound
    assert after.pareto_k < 0.7 < before.pareto_k


@pytest.mark.slow
def test_a_fit_leaves_the_model_as_it_is():
    prior = tg.flows.maf(2, steps=1, hidden_units=(8,), seed=0)
    randomize(prior)
    scale = tf.Variable(1.5)
    model = tfd.JointDistributionNamed(
        {"w": prior, "y": lambda w: tfd.MultivariateNormalDiag(w, [scale, scale])}
    )
    given = [v.numpy() for v in (*prior.trainable_variables, scale)]
    joint = model.experimental_pin(y=[0.5, -0.5])
    surrogate = inference.surrogate_posterior(joint, flow=SMALL_IAF, seed=0)
    before = [v.numpy() for v in surrogate.trainable_variables]
    inference.fit_surrogate_posterior(joint, surrogate, num_steps=3, seed=0)
    for value, variable in zip(given, (*prior.trainable_variables, scale), strict=True):
        np.testing.assert_array_equal(variable, value)
    for value, variable in zip(before, surrogate.trainable_variables, strict=True):
        assert (variable != value).numpy().any()


def evidence_of(joint: Joint) -> float:
    surrogate = inference.surrogate_posterior(joint, flow=SMALL_IAF, seed=0)
    return inference.diagnose(joint, surrogate, importance_samples=4000, seed=0).importance_bound


def test_a_simplex_has_its_evidence():
    alpha, counts = [1.0, 2.0, 3.0], [5.0, 3.0, 2.0]
    model = tfd.JointDistributionNamed(
        {"w": tfd.Dirichlet(alpha), "y": lambda w: tfd.Multinomial(10.0, probs=w)}
    )
    expected = tfd.DirichletMultinomial(10.0, alpha).log_prob(counts)
    np.testing.assert_allclose(evidence_of(model.experimental_pin(y=counts)), expected, atol=0.05)


SIMPLICES = {
    "of pairs, in a part": tfd.JointDistributionNamed(
        {"w": tfd.Sample(tfd.Dirichlet([3.0, 3.0]), 2)}
    ),
    "independent": tfd.Independent(tfd.Dirichlet([[3.0, 3.0], [2.0, 4.0]]), 1),
    "relaxed": tfd.RelaxedOneHotCategorical(3.0, logits=[0.0, 0.5]),
    "moved": tfb.Shift(1.0)(tfd.Dirichlet([2.0, 3.0, 2.0])),
    "logistic-normal": tfb.SoftmaxCentered()(tfd.MultivariateNormalDiag([0.0, 0.5])),
    "correlations": tfd.CholeskyLKJ(3, 2.0),
}


@pytest.mark.parametrize("name", SIMPLICES)
def test_priors_integrate_to_one(name):
    prior = SIMPLICES[name]
    joint = tfd.JointDistributionNamed({"a": prior, "y": NORMAL}).experimental_pin(y=0.0)
    np.testing.assert_allclose(evidence_of(joint), NORMAL.log_prob(0.0), atol=0.05)


@pytest.mark.slow
def test_one_amortized_fit_serves_all_data():
    joint = conjugate()
    encoder = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
    surrogate = inference.surrogate_posterior(joint, flow=SMALL_IAF, encoder=encoder, seed=0)
    assert surrogate.is_amortized
    known = {v.ref() for v in surrogate.trainable_variables}
    assert {v.value.ref() for v in encoder.trainable_variables} <= known
    inference.fit_amortized_posterior(
        joint,
        surrogate,
        joint.distribution.sample(2000, seed=0)["y"],
        batch_size=64,
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 600)),
        num_steps=600,
        seed=0,
    )
    data = np.array([[0, 1, 1, 2], [-1, -1, 0, 0.5]], "float32")
    x, log_q = surrogate.experimental_sample_and_log_prob([5000, 2], condition=data, seed=1)
    np.testing.assert_allclose(np.mean(x["mu"], 0)[:, 0], data.sum(1) / 5, atol=0.1)
    np.testing.assert_allclose(np.std(x["mu"], 0)[:, 0], np.sqrt(0.2), atol=0.05)
    again = surrogate.log_prob(tf.nest.map_structure(tf.identity, x), condition=data)
    np.testing.assert_allclose(again, log_q, atol=1e-4)
    diagnosis = inference.diagnose(joint, surrogate, condition=data[0], seed=0)
    np.testing.assert_allclose(diagnosis.elbo, log_evidence(), atol=0.05)


@pytest.mark.slow
def test_a_fit_goes_on_and_takes_functions_and_mean_field():
    def log_prob(mu):
        return tf.reduce_sum(tfd.Normal(3.0, 0.5).log_prob(mu), -1)

    mean_field = tfp.experimental.vi.build_factored_surrogate_posterior(event_shape=[2], seed=0)
    optimizer = keras.optimizers.Adam(0.1)
    options = {"optimizer": optimizer, "num_steps": 100, "seed": (1, 2)}
    first = inference.fit_surrogate_posterior(log_prob, mean_field, **options)
    second = inference.fit_surrogate_posterior(log_prob, mean_field, **options)
    assert int(optimizer.iterations) == 200
    assert second.mean() < first.mean()
    np.testing.assert_allclose(mean_field.mean(), [3.0, 3.0], atol=0.1)


def test_the_gradient_at_a_sample_is_that_at_any_value():
    """TFP's cache, which knows the sample's vector from before the tape, must not cut it off."""
    surrogate = inference.surrogate_posterior(sequential(), flow=SMALL_IAF, seed=0)
    randomize(surrogate)
    x = surrogate.sample(3, seed=1)
    gradients = []
    for value in (x, tf.nest.map_structure(tf.identity, x)):
        with tf.GradientTape() as tape:
            tape.watch(value)
            log_prob = surrogate.log_prob(value)
        gradients.append(tape.gradient(log_prob, value))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-9)


def test_a_flow_of_ones_own_is_taken():
    flow = tg.flows.planar(2, steps=2, dtype="float64", seed=0)
    assert inference.surrogate_posterior(sequential(), flow=flow).flow is flow


@pytest.mark.slow
def test_a_fit_moves_on_what_changes_once_a_step():
    flow = functools.partial(tg.flows.iresnet, steps=1, hidden_units=(4,), exact=True)
    surrogate = inference.surrogate_posterior(conjugate(), flow=flow, seed=0)
    before = [v.numpy() for v in surrogate.flow.bijector.variables if not v.trainable]
    optimizer = keras.optimizers.SGD(0.1)
    inference.fit_surrogate_posterior(
        conjugate(), surrogate, optimizer=optimizer, num_steps=3, sample_size=4, seed=0
    )
    after = [v.numpy() for v in surrogate.flow.bijector.variables if not v.trainable]
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    flow, u = surrogate.flow, normal((4, 1), "float32")
    np.testing.assert_allclose(flow.decode(tf.identity(flow.encode(u))), u, atol=1e-4)


def discrete() -> Joint:
    model = tfd.JointDistributionSequential(
        [tfd.Bernoulli(0.5), lambda k: tfd.Normal(tf.cast(k, "float32"), 1.0)]
    )
    return model.experimental_pin(None, 1.0)


def with_rate(distribution: tfd.Distribution) -> Joint:
    model = tfd.JointDistributionNamed(
        {"rate": distribution, "y": lambda rate: tfd.Normal(tf.reduce_sum(rate), 1.0)}
    )
    return model.experimental_pin(y=1.0)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: inference.surrogate_posterior(conjugate().distribution), TypeError, "pinned at"),
        (
            lambda: inference.diagnose(conjugate(), tfd.JointDistributionNamed({"nu": NORMAL})),
            ValueError,
            r"'mu' has event shape \(1,\). Received: None",
        ),
        (
            lambda: inference.fit_surrogate_posterior(sequential(), NORMAL),
            ValueError,
            "'mu' has event shape .*Received: None",
        ),
        (
            lambda: inference.surrogate_posterior(
                coroutine().experimental_pin(mu=tf.zeros([], "float64")), encoder=keras.Input([2])
            ),
            ValueError,
            r"pinned at one value.*\['mu', 'y'\]",
        ),
        (
            lambda: inference.surrogate_posterior(conjugate().experimental_pin(mu=[0.0])),
            ValueError,
            "joint must have latents",
        ),
        (lambda: inference.surrogate_posterior(discrete()), TypeError, "latent 'k' of joint"),
        (
            lambda: inference.surrogate_posterior(with_rate(tfd.Poisson(3.0))),
            ValueError,
            "latent 'rate' of joint must have a default bijector.*Poisson",
        ),
        (
            lambda: inference.surrogate_posterior(with_rate(tfd.Sample(tfd.SphericalUniform(3)))),
            ValueError,
            "latent 'rate' of joint must have a bijector.*positive values alone.*SphericalUniform",
        ),
        (
            lambda: inference.surrogate_posterior(with_rate(tfd.LKJ(3, 2.0))),
            ValueError,
            "log-det of correlation matrices; take tfd.CholeskyLKJ.*LKJ",
        ),
        (
            lambda: inference.surrogate_posterior(with_rate(tfd.Gamma(2.0, 1.0)), flow="realnvp"),
            ValueError,
            "event_shape must have at least 2 values",
        ),
        (
            lambda: inference.surrogate_posterior(with_rate(tfd.Normal(tf.zeros(3), 1.0))),
            ValueError,
            r"latent 'rate' of joint must have batch shape \(\)",
        ),
        (
            lambda: inference.surrogate_posterior(
                coroutine(), flow=tg.flows.iaf(3, dtype="float64")
            ),
            ValueError,
            r"event shape \(5,\).*mu 1, tau 1, eta 2, end 1.*\(3,\)",
        ),
        (
            lambda: inference.surrogate_posterior(coroutine(), flow=tg.flows.iaf(5)),
            TypeError,
            "dtype float64. Received: float32",
        ),
        (
            lambda: inference.surrogate_posterior(conjugate(), flow=tg.flows.iaf(1, num_classes=2)),
            ValueError,
            "flow must take a condition of shape None",
        ),
        (
            lambda: inference.surrogate_posterior(conjugate(), flow="mean_field"),
            ValueError,
            "flow must be one of.*'mean_field'",
        ),
        (lambda: inference.surrogate_posterior(conjugate(), flow=3), TypeError, "flow must be a"),
        (
            lambda: inference.surrogate_posterior(conjugate(), flow=lambda size, **_: size),
            TypeError,
            "flow must make a Flow",
        ),
        (
            lambda: inference.surrogate_posterior(conjugate(), encoder=tf.identity),
            TypeError,
            "encoder must be a Keras",
        ),
        (
            lambda: inference.diagnose(lambda mu: mu, NORMAL, num_samples=150),
            ValueError,
            "multiple of importance_samples = 100",
        ),
    ],
)
def test_bad_arguments(build, error, message):
    with pytest.raises(error, match=message):
        build()


def not_a_number() -> Joint:
    model = tfd.JointDistributionNamed(
        {
            "mu": tfd.Sample(tfd.Normal(0.0, 1.0), 1),
            "sigma": tfd.Sample(tfd.Normal(0.0, 1.0), 1),
            "y": lambda mu, sigma: tfd.Independent(tfd.Normal(mu, tf.math.log(sigma)), 1),
        }
    )
    return model.experimental_pin(y=[1.0])


@pytest.mark.slow
def test_a_fit_names_what_is_wrong():
    joint, amortized = conjugate(), keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
    amortized = inference.surrogate_posterior(joint, encoder=amortized, seed=0)
    plain = inference.surrogate_posterior(joint, flow=SMALL_IAF, seed=0)
    fit, fit_amortized = inference.fit_surrogate_posterior, inference.fit_amortized_posterior
    nan = not_a_number()
    with pytest.raises(ValueError, match=r"Received: nan at \d+ of 32 draws, of \['y'\]"):
        fit(nan, inference.surrogate_posterior(nan, flow=SMALL_IAF, seed=0), seed=0)
    with pytest.raises(TypeError, match="surrogate must not be amortized"):
        fit(joint, amortized)
    with pytest.raises(TypeError, match="surrogate must be amortized"):
        fit_amortized(joint, plain, tf.zeros([3, 4]))
    with pytest.raises(ValueError, match=r"data must have shape \[count, 4\]"):
        fit_amortized(joint, amortized, tf.zeros([3, 5]))
    with pytest.raises(ValueError, match=r"condition of SurrogatePosterior must have.*4\]"):
        amortized.sample(3)
    with pytest.raises(ValueError, match="SurrogatePosterior takes none"):
        plain.sample(3, condition=tf.zeros(4))
    with pytest.raises(TypeError, match="optimizer must be a Keras optimizer"):
        fit(joint, plain, optimizer="adam")
    with pytest.raises(TypeError, match="surrogate must be a distribution"):
        fit(joint, plain.bijector)
    with pytest.raises(ValueError, match="variables to train"):
        fit(
            joint.unnormalized_log_prob,
            tfd.JointDistributionNamed({"mu": tfd.Sample(tfd.Normal(0.0, 1.0), 1)}),
        )
    with pytest.raises(ValueError, match=r"The loss must stay finite.*at step"):
        fit(joint, plain, optimizer=keras.optimizers.SGD(1e9), num_steps=20, seed=0)


@pytest.fixture(scope="module")
def surrogate() -> inference.SurrogatePosterior:
    """Not fitted: the chains must be exact all the same."""
    surrogate = inference.surrogate_posterior(conjugate(), flow=SMALL_IAF, seed=0)
    randomize(surrogate)
    return surrogate


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hmc", "nuts"])
def test_neutra_draws_from_the_posterior_through_any_flow(surrogate, method):
    sampler = inference.neutra(
        conjugate(), surrogate, method=method, num_chains=16, num_burnin_steps=100, seed=0
    )
    chains = sampler.sample(200, seed=1)
    mu = chains.samples["mu"]
    assert mu.shape == (200, 16, 1)
    size = chains.effective_sample_size()["mu"].numpy()
    assert size > 500
    np.testing.assert_allclose(np.mean(mu), 0.8, atol=4 * np.sqrt(0.2 / size[0]))
    np.testing.assert_allclose(np.std(mu), np.sqrt(0.2), rtol=4 / np.sqrt(size[0]))
    assert chains.rhat()["mu"] < 1.05
    assert not np.any(chains.stats["diverging"])
    assert np.ptp(chains.stats["step_size"]) == 0.0
    np.testing.assert_allclose(np.mean(chains.stats["acceptance_rate"]), 0.8, atol=0.15)
    data = chains.to_inference_data()
    assert dict(data.posterior.sizes) == {"chain": 16, "draw": 200, "mu_dim_0": 1}
    np.testing.assert_array_equal(data.posterior["mu"][3, 5], mu[5, 3])
    assert set(data.sample_stats) == set(chains.stats)
    np.testing.assert_array_equal(data.observed_data["y"], [0.0, 1.0, 1.0, 2.0])


def test_a_gradient_of_neutra_is_one_pass_of_the_flow(surrogate):
    passes = []

    class Counted(tg.bijectors.Chain):
        def _forward_and_log_det(self, z, condition=None):
            passes.append("forward")
            return super()._forward_and_log_det(z, condition)

        def _inverse_and_log_det(self, x, condition=None):
            passes.append("inverse")
            return super()._inverse_and_log_det(x, condition)

    flow = tg.Flow(tg.standard_normal(1), Counted([surrogate.flow.bijector]))
    counted = inference.surrogate_posterior(conjugate(), flow=flow)
    kernel = inference.neutra(conjugate(), counted, num_chains=4, seed=0).kernel
    inner = kernel._inner_kernel.inner_kernel
    passes.clear()
    z = tf.zeros([4, 1])
    target = tf.function(
        lambda z: tfp.math.value_and_gradient(inner.target_log_prob_fn, z), autograph=False
    )
    log_prob, gradient = target(z)
    assert passes == ["forward"]

    with tf.GradientTape() as tape:
        tape.watch(z)
        u, log_det = surrogate.flow.bijector.forward_and_log_det(z)
        expected = conjugate().unnormalized_log_prob(mu=u) + log_det
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, tape.gradient(expected, z), rtol=1e-4)


def test_neutra_names_what_is_wrong(surrogate):
    joint = conjugate()
    encoder = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
    amortized = inference.surrogate_posterior(joint, encoder=encoder, seed=0)
    with pytest.raises(TypeError, match="surrogate must be a SurrogatePosterior"):
        inference.neutra(joint, surrogate.flow)
    with pytest.raises(TypeError, match="surrogate must not be amortized"):
        inference.neutra(joint, amortized)
    with pytest.raises(ValueError, match="of which 'mu' has event shape"):
        inference.neutra(coroutine(), surrogate)
    with pytest.raises(ValueError, match="method must be one of"):
        inference.neutra(joint, surrogate, method="gibbs")
    with pytest.raises(ValueError, match="step_size must be above 0"):
        inference.neutra(joint, surrogate, step_size=0.0)
    nan = not_a_number()
    with pytest.raises(ValueError, match=r"of \['y'\]"):
        inference.neutra(nan, inference.surrogate_posterior(nan, flow=SMALL_IAF, seed=0), seed=0)


def test_without_arviz_the_error_names_the_extra(surrogate, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"tfp-glow\[inference\]"):
        inference.diagnose(conjugate(), surrogate)
