"""Residual blocks: estimators, bounds, inverses and gradients."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow import flows
from tfp_glow.app.generation import estimates_deviation, mean_bits_per_dim
from tfp_glow.core.modes import evaluation
from tfp_glow.networks import (
    LipschitzConv2D,
    LipschitzConvNetwork,
    LipschitzDense,
    LipschitzMLP,
    LipSwish,
)
from tfp_glow.solvers.fixed_point import solve_fixed_point
from tfp_glow.solvers.log_det_estimators import (
    Exact,
    PowerSeries,
    RussianRoulette,
)

X = normal((4, 3), seed=5)


def strong_network(size: int = 3, **kwargs) -> LipschitzMLP:
    """A network whose layers all are at their bound, so that log-dets are far from zero."""
    options = {"hidden_units": (16,), "activation": "elu", "seed": 2, "dtype": "float64"}
    network = LipschitzMLP(size, **{**options, **kwargs})
    for layer in network.linear:
        layer.kernel.assign(3.0 * layer.kernel)
        layer.bias.assign(normal(layer.bias.shape, seed=2))
    network.converge()
    return network


NETWORK = strong_network()


def log_det_and_gradients(estimator, seed):
    with tf.GradientTape() as tape:
        log_det = estimator(NETWORK, X, seed)[1]
        loss = tf.reduce_sum(log_det * tf.constant([1.0, -2.0, 0.5, 3.0], tf.float64))
    # The last bias has no part in the log-det.
    variables = [v.value for v in NETWORK.trainable_variables]
    gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    return tf.concat([log_det, *(tf.reshape(g, [-1]) for g in gradients)], 0)


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    return log_det_and_gradients(Exact(), None).numpy()


def drawn(estimator, count: int) -> np.ndarray:
    """Log-dets and gradients for many seeds, in one graph."""
    compute = tf.function(lambda seed: log_det_and_gradients(estimator, seed), autograph=False)
    return np.stack([compute(tf.constant([index, 11])) for index in range(count)])


def test_the_exact_log_det_is_far_from_zero(exact):
    assert np.abs(exact[:4]).min() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("distribution", "noise"),
    [
        ("geometric", "rademacher"),
        ("geometric", "gaussian"),
        ("poisson", "rademacher"),
        ("poisson", "gaussian"),
    ],
)
def test_the_roulette_and_its_gradient_are_unbiased(distribution, noise, exact):
    draws = drawn(RussianRoulette(distribution=distribution, noise=noise), 2000)
    standard_error = draws.std(0) / np.sqrt(len(draws))
    deviation = np.abs(draws.mean(0) - exact) / np.maximum(standard_error, 1e-12)
    assert deviation[:4].max() < 3.0
    # Of many gradients some deviate by chance; their squares must be as large as chance has them.
    assert deviation[4:].max() < 4.5
    assert np.mean(deviation[4:] ** 2) < 2.0


@pytest.mark.slow
def test_the_variance_falls_with_the_exact_terms():
    """Of a diagonal Jacobian, of which Rademacher noise tells the trace exactly."""

    def deviation(exact_terms: int) -> np.ndarray:
        estimator = RussianRoulette(exact_terms)
        compute = tf.function(lambda seed: estimator(lambda x: -0.8 * tf.tanh(x), X, seed)[1])
        return np.std([compute(tf.constant([index, 11])) for index in range(300)], axis=0)

    few, some, many = (deviation(n) for n in (1, 3, 8))
    assert (some < 0.9 * few).all()
    assert (many < 0.9 * some).all()


@pytest.mark.slow
@pytest.mark.parametrize("terms", [1, 3, 6])
def test_the_bias_of_the_series_is_within_its_bound(terms, exact):
    draws = drawn(PowerSeries(terms), 1000)[:, :4]
    constant = float(NETWORK.lipschitz_bound())
    partial = sum(constant**k / k for k in range(1, terms + 1))
    bound = 3 * (-np.log(1 - constant) - partial)
    noise = 3 * draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - exact[:4]) < bound + noise).all()


def test_evaluation_takes_more_terms_all_of_weight_one():
    seed = tf.constant([1, 2])
    series = PowerSeries(20)(NETWORK, X, seed)[1]
    with evaluation():
        for estimator in (RussianRoulette(), PowerSeries(2)):
            np.testing.assert_allclose(estimator(NETWORK, X, seed)[1], series, atol=1e-12)


@pytest.mark.slow
def test_the_moments_of_a_density_are_those_of_its_estimator():
    flow = flows.residual_flow(2, steps=2, hidden_units=(8,), seed=0, dtype="float64")
    randomize(flow.bijector, scale=0.5)
    x = normal((3, 2))
    exact = flows.residual_flow(2, steps=2, hidden_units=(8,), exact=True, seed=0, dtype="float64")
    for ours, theirs in zip(exact.variables, flow.variables, strict=True):
        ours.assign(theirs)
    truth, nothing = exact.log_prob_moments(x, draws=2)
    np.testing.assert_array_equal(nothing, np.zeros(3))
    mean, variance = flow.log_prob_moments(x, draws=200)
    assert (variance.numpy() > 0).all()
    assert (np.abs(mean - truth) < 3 * np.sqrt(variance / 200)).all()
    with pytest.raises(ValueError, match="draws must be at least 2"):
        flow.log_prob_moments(x, draws=1)


@pytest.mark.slow
def test_bits_per_dim_take_the_terms_of_evaluation_and_tell_their_deviation():
    sizes = {"levels": 1, "steps": 1, "hidden_channels": 4, "marginal_bins": None}
    flow = flows.residual_flow((4, 4, 1), seed=0, **sizes)
    randomize(flow.bijector)
    distribution = tg.Dequantized(flow, 16)
    images = np.random.default_rng(0).integers(16, size=(8, 4, 4, 1))
    batches = tf.data.Dataset.from_tensors(tf.constant(images, tf.int32))
    bits = mean_bits_per_dim(distribution, batches)
    with evaluation():
        expected = np.mean(distribution.bits_per_dim(images, seed=[0, 0]))
    np.testing.assert_allclose(bits, expected, rtol=1e-5)
    assert bits != np.mean(distribution.bits_per_dim(images, seed=[0, 0]))
    assert 0 < estimates_deviation(distribution, batches) < 1
    coupled = tg.Dequantized(flows.glow((4, 4, 1), levels=1, steps=1, hidden_channels=4), 16)
    assert estimates_deviation(coupled, batches) == 0


def test_a_step_of_a_loop_is_there_by_its_index():
    networks = [strong_network(seed=s) for s in (1, 2)]
    pending = iter(networks)
    loop = tgb.Repeat(lambda: tgb.ResidualBlock(next(pending), dtype="float64"), 2)
    with loop.step_at(1) as step:
        np.testing.assert_allclose(step.network(X), networks[1](X), atol=1e-15)
    with pytest.raises(ValueError, match="index must be from 0 to 1"), loop.step_at(2):
        pass


def operator_norm(layer, shape) -> float:
    """The largest singular value of a layer's linear part, from its whole matrix."""
    size = int(np.prod(shape))
    inputs = tf.reshape(tf.eye(size, dtype=layer.kernel.dtype), [size, *shape])
    matrix = tf.reshape(layer(inputs) - layer(tf.zeros_like(inputs)), [size, -1])
    return float(np.linalg.svd(matrix, compute_uv=False)[0])


LAYERS = {
    "dense": (LipschitzDense, (7,), {}, (5,)),
    "conv": (LipschitzConv2D, (3, 3), {}, (4, 5, 2)),
    "conv-even": (LipschitzConv2D, (3, 2), {}, (4, 5, 2)),
    "conv-strided": (LipschitzConv2D, (3, 3), {"strides": 2}, (4, 5, 2)),
    "conv-valid": (LipschitzConv2D, (3, 3), {"padding": "valid"}, (4, 5, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_norms_are_those_of_the_true_operator(name, factor):
    make, arguments, options, shape = LAYERS[name]
    layer = make(*arguments, coefficient=0.8, seed=0, dtype="float64", **options)
    layer.build((None, *shape))
    layer.kernel.assign(factor * layer.kernel)
    layer.converge(tolerance=1e-12)
    norm = operator_norm(layer, shape)
    np.testing.assert_allclose(norm, layer.scaled_norm(), rtol=1e-6)
    assert norm <= 0.8 + 1e-9
    again = make.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_the_norm_is_found_among_many_that_are_nearly_as_large():
    """As in trained convolutions, where iterations that stand still can be far from the first."""
    layer = LipschitzConv2D(4, 3, coefficient=0.5, seed=0)
    layer.build((None, 10, 10, 4))
    kernel = 0.002 * np.random.default_rng(0).standard_normal((3, 3, 4, 4))
    kernel[1, 1] += np.eye(4)
    layer.kernel.assign(kernel)
    layer.converge()
    np.testing.assert_allclose(operator_norm(layer, (10, 10, 4)), 0.5, rtol=3e-5)


def test_the_slope_of_lipswish_is_its_derivative_and_at_most_one():
    layer = LipSwish(dtype="float64")
    layer.build(None)
    layer.raw_beta.assign(1.3)
    x = tf.constant(np.linspace(-6.0, 6.0, 1001))

    def plain(x):
        beta = tf.nn.softplus(tf.convert_to_tensor(layer.raw_beta))
        return x * tf.sigmoid(beta * x) / 1.1

    found = []
    for activation in (layer, plain):
        with tf.GradientTape() as outer, tf.GradientTape() as inner:
            outer.watch(x)
            inner.watch(x)
            y = activation(x)
        with outer:
            slope, of_beta = inner.gradient(y, [x, layer.raw_beta.value])
        found.append([y, slope, of_beta, *outer.gradient(slope, [x, layer.raw_beta.value])])
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-12)
    assert np.abs(found[0][1]).max() <= 1.0


@pytest.mark.parametrize("activation", ["lipswish", "elu", "tanh", "softplus"])
def test_a_network_contracts_by_its_bound(activation):
    network = strong_network(activation=activation)
    one, other = normal((500, 3), seed=1), normal((500, 3), seed=2)
    ratio = tf.norm(network(one) - network(other), axis=-1) / tf.norm(one - other, axis=-1)
    assert np.max(ratio) < float(network.lipschitz_bound()) < 0.9**2 + 1e-6


def test_evaluation_changes_no_variable():
    block = tgb.ResidualBlock(strong_network(), dtype="float64")
    before = [v.numpy() for v in block.variables]
    block.forward(tf.identity(block.inverse(X)))
    for variable, value in zip(block.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    block.advance()
    changed = [
        v.name for v, b in zip(block.variables, before, strict=True) if (v != b).numpy().any()
    ]
    assert changed


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-9), ("float32", 1e-4)])
def test_inversion_counts_its_iterations(dtype, error):
    network = strong_network(dtype=dtype)
    calls = []

    def counted(x):
        calls.append(1)
        return network(x)

    x = tf.cast(X, dtype)
    z = x + network(x)
    solved = solve_fixed_point(
        counted,
        z,
        tolerance=1e-11 if dtype == "float64" else 1e-6,
        max_iterations=500,
        name="block",
    )
    assert np.max(np.abs(solved - x)) < error
    bound = np.log(1e-12) / np.log(float(network.lipschitz_bound()))
    assert 2 < len(calls) < bound + 3


def test_examples_converge_each_for_itself():
    network = strong_network()
    z = X + network(X)
    options = {"tolerance": 1e-6, "max_iterations": 500, "name": "block"}
    together = solve_fixed_point(network, z, **options)
    alone = [solve_fixed_point(network, z[i : i + 1], **options)[0] for i in range(4)]
    np.testing.assert_allclose(together, tf.stack(alone), atol=1e-15)


def expanding(x):
    return 1.5 * x


def expanding_block() -> tgb.ResidualBlock:
    return tgb.ResidualBlock(expanding, log_det="exact", max_iterations=50, dtype="float64")


def test_past_lipschitz_one_it_raises():
    block = expanding_block()
    with pytest.raises(tf.errors.InvalidArgumentError, match="no contraction"):
        block.forward(X)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no contraction"):
        tf.function(block.forward)(X)


@pytest.mark.slow
def test_past_lipschitz_one_compiled_code_gives_nan():
    block = expanding_block()
    mixed = tf.concat([tf.zeros([1, 3], tf.float64), X], 0)
    compiled = tf.function(block.forward, jit_compile=True)(mixed)
    assert np.isnan(compiled[1:]).all()
    np.testing.assert_array_equal(compiled[0], np.zeros(3))


@pytest.mark.slow
def test_implicit_gradients_equal_those_through_the_iterations():
    network, z = strong_network(), X

    def through_iterations(z):
        x = z
        for _ in range(200):
            x = z - network(x)
        return x

    def implicit(z):
        options = {"tolerance": 1e-13, "max_iterations": 500, "name": "block"}
        return solve_fixed_point(network, z, **options)

    gradients = []
    for solve in (through_iterations, implicit):
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = tf.reduce_sum(
                tf.sin(solve(z)) * tf.constant([[1.0], [2.0], [0.0], [-3.0]], tf.float64)
            )
        gradients.append(tape.gradient(loss, [z, *(v.value for v in network.trainable_variables)]))
    for expected, actual in zip(*gradients, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_memory_saving_gradient_is_right_for_any_weights(jit_compile):
    plain = tgb.ResidualBlock(strong_network(), seed=3, dtype="float64")
    saving = tgb.Recompute(plain)
    weights = normal([4], seed=9)

    def gradients(bijector):
        @tf.function(jit_compile=jit_compile)
        def run():
            with tf.GradientTape() as tape:
                tape.watch(X)
                z, log_det = bijector.inverse_and_log_det(X)
                loss = tf.reduce_sum(weights * (log_det - tf.reduce_sum(z**2, -1)))
            return tape.gradient(loss, [X, *plain.trainable_variables])

        return run()

    for expected, actual in zip(gradients(plain), gradients(saving), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-10)


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        lambda make: tgb.Repeat(make, 2, reversible=True),
        lambda make: tgb.Recompute(make()),
    ],
)
def test_gradients_that_evaluate_again_do_so_in_the_mode_of_the_pass(wrap):
    """Estimates take more terms in evaluation, which is over where the gradient is computed."""

    def make() -> tgb.ResidualBlock:
        network = LipschitzMLP(3, hidden_units=(8,), seed=0, dtype="float64")
        return tgb.ResidualBlock(network, dtype="float64")

    bijector, x = wrap(make), normal((4, 3))
    randomize(bijector)

    def gradient(inside: bool):
        with tf.GradientTape() as tape:
            tape.watch(x)
            with evaluation():
                log_det = bijector.inverse_log_det_jacobian(x)
        with evaluation() if inside else contextlib.nullcontext():
            return tape.gradient(log_det, x)

    np.testing.assert_allclose(gradient(False), gradient(True), rtol=1e-10)


@pytest.mark.parametrize("reversible", [False, True])
def test_a_loop_of_blocks_equals_a_chain_of_them(reversible):
    networks = iter([strong_network(seed=s) for s in (1, 2, 3)])

    def make_step():
        return tgb.ResidualBlock(next(networks), seed=4, dtype="float64")

    loop = tgb.Repeat(make_step, 3, reversible=reversible)
    blocks = [tgb.ResidualBlock(strong_network(seed=s), seed=4, dtype="float64") for s in (1, 2, 3)]
    chain = tgb.Chain(blocks)
    results = []
    for bijector in (loop, chain):
        with tf.GradientTape() as tape:
            tape.watch(X)
            z, log_det = bijector.inverse_and_log_det(X)
            loss = tf.reduce_sum(z**3) + tf.reduce_sum(log_det)
        results.append([z, log_det, tape.gradient(loss, X)])
    for expected, actual in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_after_training_the_bounds_hold_and_the_flow_inverts(jit_compile):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(512, 2)).astype("float32")
    x[:, 1] += x[:, 0] ** 2
    flow = flows.residual_flow(2, steps=3, hidden_units=(32,), seed=0)
    model = tg.FlowModel(flow)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
    losses = model.fit(x, batch_size=64, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.1
    error = np.abs(flow.decode(tf.identity(flow.encode(x))) - x).max()
    assert error < 1e-4
    for norm in spectral_norms(flow):
        assert norm <= 0.9 + 1e-3


def spectral_norms(flow) -> list[float]:
    """The norms, by SVD, of every dense layer of a looped flow as it is called."""
    repeat, norms = flow.bijector.bijectors[1], []
    for index in range(repeat.depth):
        with repeat.step_at(index) as step:
            for layer in step.bijectors[1].network.linear:
                norms.append(operator_norm(layer, (layer.kernel.shape[0],)))
    return norms


def test_image_networks_keep_the_shape_and_the_bound():
    network = LipschitzConvNetwork((4, 4, 2), hidden_channels=8, coefficient=0.7, seed=0)
    x = normal((2, 3, 4, 4, 2), "float32")
    assert network(x).shape == x.shape
    assert float(network.lipschitz_bound()) <= 0.7**3 + 1e-6


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: LipschitzMLP(2, coefficient=1.0), ValueError, "coefficient must lie between"),
        (lambda: LipschitzMLP(2, activation="relu"), ValueError, "activation must be"),
        (lambda: tgb.ResidualBlock("g"), TypeError, "network must be callable"),
        (lambda: tgb.ResidualBlock(abs, log_det="trace"), ValueError, "log_det must be one of"),
        (lambda: tgb.ResidualBlock(abs, log_det=3), TypeError, "log_det must be a name"),
        (lambda: RussianRoulette(distribution="uniform"), ValueError, "distribution must be"),
        (lambda: PowerSeries(0), ValueError, "terms must be at least 1"),
        (
            lambda: tgb.ResidualBlock(lambda x: x[:, :1], dtype="float64").inverse(X),
            ValueError,
            "keep the shape",
        ),
        (
            lambda: tgb.ResidualBlock(abs, log_det="exact").inverse(tf.zeros([1, 65])),
            ValueError,
            "up to 64 values",
        ),
        (lambda: tgb.Recompute(3), TypeError, "bijector must be a FlowBijector"),
    ],
)
def test_bad_arguments(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_randomized_blocks_move_on_in_a_loop():
    loop = tgb.Repeat(lambda: tgb.ResidualBlock(strong_network(), seed=1, dtype="float64"), 2)
    randomize(loop)
    before = loop.inverse_and_log_det(X)
    loop.advance()
    after = loop.inverse_and_log_det(tf.identity(X))
    assert (before[1] != after[1]).numpy().any()
