"""Continuous flows: closed forms, TFP's FFJORD, noise and penalties."""

import copy

import keras
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.bijectors.ffjord import trace_jacobian_exact

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow import flows
from tfp_glow.core.modes import draw
from tfp_glow.networks import MLP

MATRIX = np.array([[0.5, -0.3], [0.8, 0.2]])
FLOW = np.asarray(scipy.linalg.expm(MATRIX))
Z = normal((4, 2), seed=3)
# TFP's solver multiplies by coefficients that are rounded to float32.
SOLVER = 3e-7


def linear(inputs):
    """f(x) = A x, plus the condition where there is one."""
    x, given = inputs
    return x @ MATRIX.T + (given[:, 1:] if given.shape[-1] > 1 else 0.0)


def linear_flow(**kwargs) -> tgb.ContinuousFlow:
    return tgb.ContinuousFlow(linear, tolerance=1e-10, dtype="float64", **kwargs)


@pytest.fixture(scope="module")
def network() -> MLP:
    network = MLP(
        2,
        hidden_units=(8,),
        activation="tanh",
        inputs=(2,),
        condition_size=1,
        seed=0,
        dtype="float64",
    )
    for weight in network.trainable_variables:
        weight.assign(0.7 * normal(weight.shape, seed=1))
    return network


def test_a_linear_field_is_the_matrix_exponential():
    x, log_det = linear_flow().forward_and_log_det(Z)
    np.testing.assert_allclose(x, Z @ FLOW.T, atol=SOLVER)
    np.testing.assert_allclose(log_det, np.full(4, np.trace(MATRIX)), atol=SOLVER)


@pytest.mark.slow
def test_a_deep_copy_of_one_that_has_run_is_a_flow_of_its_own(network):
    flow = tgb.ContinuousFlow(network, dtype="float64")
    x = flow.forward(Z)
    copied = copy.deepcopy(flow)
    np.testing.assert_array_equal(copied.forward(tf.identity(Z)), x)
    for variable in copied.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    np.testing.assert_allclose(copied.forward(tf.identity(Z)), Z, atol=1e-12)
    np.testing.assert_array_equal(flow.forward(tf.identity(Z)), x)


@pytest.mark.slow
def test_the_condition_has_the_closed_forms_gradient():
    flow, condition = linear_flow(condition_shape=(2,)), normal((4, 2), seed=4)
    with tf.GradientTape() as tape:
        tape.watch(condition)
        x = flow.forward(Z, condition=condition)
        loss = tf.reduce_sum(x * Z)
    response = np.linalg.solve(MATRIX, FLOW - np.eye(2))
    np.testing.assert_allclose(x, Z @ FLOW.T + condition @ response.T, atol=SOLVER)
    np.testing.assert_allclose(tape.gradient(loss, condition), Z @ response, atol=SOLVER)


@pytest.mark.slow
def test_the_gradient_of_a_density_compiles():
    flow = flows.ffjord(2, hidden_units=(4,), seed=0)

    def gradient(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(flow.log_prob(x))
        return tape.gradient(loss, flow.trainable_variables)

    x = normal((3, 2), "float32")
    compiled = tf.function(gradient, jit_compile=True)(x)
    plain = tf.function(gradient)(x)
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.slow
def test_a_field_that_was_frozen_is_trained_again():
    field = MLP(2, hidden_units=(), inputs=(2,), condition_size=1, seed=0, dtype="float64")
    flow = tgb.ContinuousFlow(field, dtype="float64")

    def gradient_sizes():
        with tf.GradientTape() as tape:
            tape.watch([v.value for v in field.variables])
            loss = tf.reduce_sum(flow.forward(tf.identity(Z)))
        gradients = tape.gradient(loss, [v.value for v in field.variables])
        return [0.0 if g is None else np.abs(g).max() for g in gradients]

    def freeze(frozen: bool):
        for variable in field.variables:
            variable.trainable = not frozen

    freeze(True)
    assert not any(gradient_sizes())
    freeze(False)
    assert all(gradient_sizes())


@pytest.mark.slow
def test_values_are_those_of_tfp(network):
    ours = tgb.ContinuousFlow(network, tolerance=1e-9, dtype="float64")
    theirs = tfp.bijectors.FFJORD(
        lambda time, x: network([x, tf.fill([tf.shape(x)[0], 1], time)]),
        ode_solve_fn=tfp.math.ode.DormandPrince(rtol=1e-9, atol=1e-9).solve,
        trace_augmentation_fn=trace_jacobian_exact,
        dtype=tf.float64,
    )

    @tf.function
    def run():
        x, log_det = ours.forward_and_log_det(Z)
        y = theirs.forward(Z)
        return x, log_det, y, theirs.forward_log_det_jacobian(Z, event_ndims=1)

    x, log_det, y, their_log_det = run()
    np.testing.assert_allclose(x, y, atol=SOLVER)
    np.testing.assert_allclose(log_det, their_log_det, atol=SOLVER)


@pytest.mark.slow
def test_hutchinsons_trace_is_unbiased_and_repeats_until_it_advances(network):
    exact = tgb.ContinuousFlow(network, tolerance=1e-6, dtype="float64")
    noisy = tgb.ContinuousFlow(network, trace="hutchinson", tolerance=1e-6, seed=0, dtype="float64")
    truth = exact.forward_and_log_det(Z)[1]

    @tf.function
    def log_det(index):
        with draw(index):
            return noisy.forward_and_log_det(Z)[1]

    draws = np.stack([log_det(tf.constant(index)) for index in range(300)])
    standard_error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - truth) < 3 * standard_error).all()
    np.testing.assert_array_equal(log_det(tf.constant(0)), draws[0])
    noisy.advance()
    assert (log_det(tf.constant(0)) != draws[0]).numpy().any()


def test_the_penalty_is_the_integral_along_the_path():
    flow = linear_flow(kinetic=2.0, jacobian=3.0)
    with tg.collected_penalties() as penalties:
        flow.forward_and_log_det(Z)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    kinetic = np.zeros(4)
    for time, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        velocity = Z @ (MATRIX @ scipy.linalg.expm(MATRIX * time)).T
        kinetic += weight * np.sum(velocity**2, -1)
    (penalty,) = penalties
    np.testing.assert_allclose(penalty, 2 * kinetic + 3 * np.sum(MATRIX**2), atol=1e-6)


@pytest.mark.slow
def test_a_field_that_does_not_depend_on_the_place_only_shifts():
    flow = tgb.ContinuousFlow(lambda inputs: 0.0 * inputs[0] + inputs[1] ** 2, dtype="float64")
    constant = tgb.ContinuousFlow(lambda inputs: tf.repeat(inputs[1], 2, -1), dtype="float64")
    for field, shift in ((flow, 1 / 3), (constant, 1 / 2)):
        x, log_det = field.forward_and_log_det(Z)
        np.testing.assert_allclose(x, Z + shift, atol=1e-6)
        np.testing.assert_allclose(log_det, np.zeros(4), atol=1e-12)


def test_velocities_take_any_batch(network):
    flow = tgb.ContinuousFlow(network, dtype="float64")
    for batch in ((), (3,), (2, 1)):
        assert flow.velocity(normal((*batch, 2)), 0.5).shape == (*batch, 2)


@pytest.mark.slow
def test_penalties_are_part_of_the_training_loss_alone():
    x = normal((64, 2), "float32")
    model = tg.FlowModel(flows.ffjord(2, hidden_units=(8,), kinetic=0.5, tolerance=1e-4, seed=0))
    model.initialize(x)
    randomize(model.distribution.bijector)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    density = -np.mean(model.predict(x, verbose=0))
    with tg.collected_penalties() as penalties:
        model.distribution.log_prob(x)
    penalty = np.mean(penalties[0])
    assert penalty > 1e-3
    loss = model.fit(x, batch_size=64, verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, density + penalty, rtol=1e-4)
    np.testing.assert_allclose(model.evaluate(x, batch_size=64, verbose=0), density, rtol=1e-4)


@pytest.mark.slow
def test_a_penalty_cannot_leave_a_loop():
    def make_step():
        network = MLP(2, hidden_units=(4,), activation="tanh", inputs=(2,), condition_size=1)
        return tgb.ContinuousFlow(network, kinetic=1.0, tolerance=1e-3)

    def penalties_of(repeat):
        with tg.collected_penalties() as penalties:
            repeat.inverse(tf.cast(Z, tf.float32))
        return penalties

    run = tf.function(penalties_of, autograph=False)
    assert len(run(tgb.Repeat(make_step, 2, unroll=True))) == 2
    with pytest.raises(ValueError, match="cannot leave a loop"):
        run(tgb.Repeat(make_step, 2))


@pytest.mark.slow
def test_in_a_loop_every_field_has_its_gradient():
    networks = []

    def make_step():
        network = MLP(
            2,
            hidden_units=(4,),
            activation="tanh",
            inputs=(2,),
            condition_size=1,
            dtype="float64",
        )
        networks.append(network)
        return tgb.ContinuousFlow(network, tolerance=1e-8, dtype="float64")

    repeat = tgb.Repeat(make_step, 2)
    randomize(repeat)

    @tf.function
    def loss_and_gradients():
        with tf.GradientTape() as tape:
            z, log_det = repeat.inverse_and_log_det(Z)
            loss = tf.reduce_sum(z**2) - tf.reduce_sum(log_det)
        return loss, tape.gradient(loss, repeat.trainable_variables)

    _, gradients = loss_and_gradients()
    variable, gradient = repeat.trainable_variables[0], gradients[0]
    change = normal(variable.shape, seed=6)
    losses = []
    for sign in (1.0, -2.0):
        variable.assign_add(sign * 1e-4 * change)
        losses.append(loss_and_gradients()[0])
    np.testing.assert_allclose((losses[0] - losses[1]) / 2e-4, np.sum(gradient * change), rtol=1e-4)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: tgb.ContinuousFlow("f"), TypeError, "network must be callable"),
        (lambda: tgb.ContinuousFlow(linear, trace="full"), ValueError, "trace must be one of"),
        (lambda: tgb.ContinuousFlow(linear, kinetic=-1.0), ValueError, "kinetic must be at least"),
        (lambda: tgb.ContinuousFlow(linear, jacobian=-1.0), ValueError, "jacobian must be at"),
        (lambda: tgb.ContinuousFlow(linear, tolerance=0.0), ValueError, "tolerance must be above"),
        (
            lambda: tgb.ContinuousFlow(linear).velocity(tf.zeros([1, 65]), 0.0),
            ValueError,
            "of up to 64 values; take 'hutchinson'",
        ),
        (
            lambda: tgb.ContinuousFlow(lambda i: i[0][:, :1], dtype="float64").velocity(Z, 0.0),
            ValueError,
            "must return velocities of shape",
        ),
    ],
)
def test_bad_arguments(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_normalization_by_keras_is_refused():
    """Its second derivatives, by which the log-det is trained, are wrong."""
    network = keras.Sequential([keras.Input([2]), keras.layers.LayerNormalization()])
    for make in (tgb.ContinuousFlow, tgb.ResidualBlock):
        with pytest.raises(ValueError, match=r"networks.LayerNorm or GroupNorm.*layer_normal"):
            make(network)
