"""Autoregressive flows: sparsity, evaluations, agreement with TFP."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow import flows
from tfp_glow.core.sparsity import is_autoregressive
from tfp_glow.networks import MADE

tfb, tfd = tfp.bijectors, tfp.distributions
ORDERS = ["forward", "reverse", "random", [2, 0, 3, 1]]


def made(**kwargs) -> MADE:
    options = {"hidden_units": (16, 16), "seed": 0, "dtype": "float64", **kwargs}
    network = MADE(4, **options)
    for index, weight in enumerate(network.weights):
        weight.assign(normal(weight.shape, seed=index))
    return network


def places(order) -> np.ndarray:
    named = {"forward": [0, 1, 2, 3], "reverse": [3, 2, 1, 0]}
    return np.array(named.get(order, order) if isinstance(order, str) else order)


def reads(network, x) -> np.ndarray:
    """`[outputs, inputs]`: whether an output depends on an input."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = network(x)
    return np.abs(tape.jacobian(outputs, x)).max((0, 2)) > 0


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_parameters_read_exactly_the_values_before(order, residual):
    network = made(order=order, residual=residual)
    found = reads(network, normal([20, 4]))
    first = found[:4]
    np.testing.assert_array_equal(found[4:], first)
    if order == "random":
        np.testing.assert_array_equal(np.sort(first.sum(1)), np.arange(4))
        expected = first.sum(1)[:, None] > first.sum(1)
    else:
        expected = places(order)[:, None] > places(order)
    np.testing.assert_array_equal(first, expected)


def test_every_output_reads_the_condition_even_the_first():
    network = made(condition_size=2)
    condition = normal([5, 2])
    found = reads(lambda c: network([normal([5, 4]), c]), condition)
    assert found.all()


def test_one_value_reads_its_condition_alone():
    network = MADE(1, condition_size=2, seed=0)
    randomize_weights(network)
    assert not reads(lambda x: network([x, tf.ones([5, 2])]), tf.ones([5, 1])).any()
    assert reads(lambda c: network([tf.ones([5, 1]), c]), tf.ones([5, 2])).all()


def randomize_weights(network) -> None:
    for index, weight in enumerate(network.weights):
        weight.assign(normal(weight.shape, "float32", seed=index))


class Counted(keras.layers.Layer):
    """A network that counts its evaluations."""

    def __init__(self, network):
        super().__init__(dtype=network.dtype)
        self.network, self.calls, self.built = network, 0, True

    def call(self, x):
        self.calls += 1
        return self.network(x)


def test_a_maf_density_and_an_iaf_sample_evaluate_the_network_once():
    base = tfd.Sample(tfd.Normal(tf.zeros([], "float64"), 1.0), 4)
    network = Counted(made())
    maf = tgb.MaskedAutoregressive(network, dtype="float64")
    tfd.TransformedDistribution(base, maf).log_prob(normal([3, 4]))
    assert network.calls == 1
    network = Counted(made())
    iaf = tgb.Invert(tgb.MaskedAutoregressive(network, dtype="float64"))
    distribution = tfd.TransformedDistribution(base, iaf)
    distribution.log_prob(distribution.sample(3, seed=1))
    assert network.calls == 1


def test_it_agrees_with_the_maf_of_tfp_over_the_same_network():
    network = made()

    def shift_and_log_scale(x):
        shift, s = tf.split(network(x), 2, axis=-1)
        # TFP generates x = z * exp(log_scale) + shift.
        return -shift, -5.0 * tf.tanh(s / 5.0)

    ours = tgb.MaskedAutoregressive(network, dtype="float64")
    theirs = tfb.MaskedAutoregressiveFlow(shift_and_log_scale)
    x = normal([6, 4])
    np.testing.assert_allclose(ours.inverse(x), theirs.inverse(x), atol=1e-9)
    np.testing.assert_allclose(
        ours.inverse_log_det_jacobian(x, 1), theirs.inverse_log_det_jacobian(x, 1), atol=1e-9
    )
    z = 0.1 * x
    np.testing.assert_allclose(ours.forward(z), theirs.forward(z), rtol=1e-9)


def test_the_jacobian_of_a_flow_is_triangular():
    flow = flows.maf(4, steps=1, hidden_units=(16,), marginal_bins=None, seed=0, dtype="float64")
    randomize(flow.bijector)
    x = normal([1, 4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = flow.encode(x)
    jacobian = tape.jacobian(z, x)[0, :, 0].numpy()
    np.testing.assert_array_equal(np.triu(jacobian, 1), np.zeros([4, 4]))
    assert (jacobian[np.tril_indices(4)] != 0).all()


def test_an_autoregressive_prior_starts_as_the_flow_and_shares_its_variables():
    flow = flows.glow((4, 4, 1), levels=2, steps=1, hidden_channels=4, seed=0)
    prior = flows.autoregressive_prior(flow, hidden_units=(16,), seed=0)
    x = normal([3, 4, 4, 1], "float32")
    np.testing.assert_allclose(prior.log_prob(x), flow.log_prob(x), atol=1e-4)
    randomize(prior.bijector, scale=0.1)
    z, latents = prior.encode(x), flow.encode(x)
    np.testing.assert_allclose(prior.decode(tf.identity(z)), x, atol=1e-4)
    with tf.GradientTape() as tape:
        tape.watch(latents)
        z = prior.bijector.bijectors[1].inverse(latents)
    jacobian = tape.jacobian(z, latents)[0, :, 0].numpy()
    assert np.abs(np.triu(jacobian, 1)).max() == 0 < np.abs(np.tril(jacobian, -1)).max()
    assert {id(v) for v in flow.variables} < {id(v) for v in prior.variables}


@pytest.mark.parametrize(
    ("reads", "fits"),
    [
        ([[0, 0, 0], [1, 0, 0], [1, 1, 0]], True),
        ([[0, 0, 1], [1, 0, 1], [0, 0, 0]], True),
        ([[0, 0, 0], [1, 0, 0], [0, 0, 1]], False),
        ([[0, 1, 0], [0, 0, 1], [1, 0, 0]], False),
    ],
    ids=["forward", "in another order", "its own input", "in a circle"],
)
def test_what_a_network_reads_is_looked_at(reads, fits):
    network = keras.Sequential([keras.Input([3]), keras.layers.Dense(6)])
    network.layers[0].kernel.assign(0.1 * np.tile(np.transpose(reads), 2))
    if fits:
        tgb.MaskedAutoregressive(network)
        return
    for options in ({}, {"event_shape": 3}):
        with pytest.raises(ValueError, match="network must be autoregressive"):
            tgb.MaskedAutoregressive(network, **options)


@pytest.mark.parametrize("order", ["forward", "random"])
def test_a_large_made_is_seen_to_be_autoregressive(order):
    assert is_autoregressive(MADE(700, hidden_units=(30,), order=order, seed=0), 700, tf.float32)
    unmasked = tf.random.stateless_uniform([700, 1400], [0, 1])
    assert not is_autoregressive(lambda x: x @ unmasked, 700, tf.float32)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: MADE(0), ValueError, "inputs must be at least 1"),
        (lambda: MADE(2, hidden_units=()), ValueError, "hidden_units must hold"),
        (lambda: MADE(2, hidden_units=(4, 0)), ValueError, r"hidden_units\[1\]"),
        (lambda: MADE(2, hidden_units=(4, 8), residual=True), ValueError, "must all be equal"),
        (lambda: MADE(2, order="sorted"), ValueError, "'sorted'"),
        (lambda: MADE(3, order=[0, 1, 1]), ValueError, r"0 .. 2 once. Received: \[0, 1, 1\]"),
        (lambda: MADE(3, activation="softmax"), ValueError, "every unit by itself"),
        (lambda: tgb.MaskedAutoregressive("relu"), TypeError, "network must be callable"),
        (lambda: tgb.Invert("exp"), TypeError, "bijector must be a tfb.Bijector"),
        (lambda: flows.maf(0), ValueError, "event_shape must be at least 1"),
        (lambda: flows.maf(2, order="forward"), ValueError, "order must be one of"),
        (lambda: flows.autoregressive_prior(2), TypeError, "flow must be a Flow"),
        (
            lambda: flows.maf(2, num_classes=2, condition_size=2),
            ValueError,
            "exclude each other",
        ),
    ],
)
def test_bad_arguments(build, error, message):
    with pytest.raises(error, match=message):
        build()
