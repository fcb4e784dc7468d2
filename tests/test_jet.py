"""Jet, and its parts."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow.flows.jet import _halves, _relative
from tfp_glow.networks import ViT

SMALL = {"patch_size": 2, "blocks": 3, "channel_couplings": 1, "width": 8, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def flow():
    made = tg.flows.jet((4, 4, 2), seed=0, dtype="float64", **SMALL)
    randomize(made.bijector, scale=0.3)
    return made


@pytest.mark.slow
def test_the_log_det_is_that_of_the_jacobian_and_the_inverse_exact(flow):
    x = 0.3 * normal([2, 4, 4, 2])
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_prob = flow.encode_and_log_prob(x)
    jacobian = tf.reshape(tape.batch_jacobian(z, x), [2, 32, 32])
    expected = flow.distribution.log_prob(z) + tf.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(log_prob, expected, atol=1e-9)
    np.testing.assert_allclose(flow.decode(tf.identity(z)), x, atol=1e-10)


@pytest.mark.slow
def test_rebuilt_gradients_are_the_stored_ones(flow):
    x = 0.3 * normal([2, 4, 4, 2])
    rebuilding = tg.flows.jet((4, 4, 2), seed=0, dtype="float64", reversible=True, **SMALL)
    for own, other in zip(rebuilding.variables, flow.variables, strict=True):
        own.assign(other)

    def gradients(model):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.log_prob(x))
        return tape.gradient(loss, model.trainable_variables)

    stored, rebuilt = (tf.function(gradients, autograph=False)(f) for f in (flow, rebuilding))
    assert all(np.any(gradient != 0.0) for gradient in stored)
    for one, other in zip(stored, rebuilt, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-9)


def test_every_block_has_orders_of_its_own(flow):
    channels = next(v for v in flow.variables if v.shape == [3, 8] and v.dtype == tf.int32)
    assert len({tuple(order) for order in channels.numpy()}) == 3


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (2, 3), (3, 2)])
def test_tokens_are_halved_by_checkerboards_rows_and_columns(rows, columns):
    """The orders in terms of one another lead to halves of the image, all tokens in turn."""
    index, tokens, changed = np.indices((rows, columns)), np.arange(rows * columns), set()
    orders = itertools.islice(_relative(_halves(rows, columns)), 6)
    for order, line in zip(orders, 2 * [index.sum(0), *index], strict=True):
        tokens = tokens[order]
        read, other = np.sort(tokens[::2]), np.sort(tokens[1::2])
        changed |= set(other)
        if line.max() % 2 == 0 and (line % 2 == 0).mean() != 0.5:
            line = index.sum(0)
        assert len({*(line.flat[read] % 2)}) == len({*(line.flat[other] % 2)}) == 1
    assert changed == set(range(rows * columns))


def test_a_transformer_reads_all_tokens_their_places_and_its_condition():
    network = ViT(3, inputs=(4, 2), width=8, layers=1, heads=2, condition_size=1, dtype="float64")
    randomize(network)
    x, condition = tf.Variable(normal([1, 4, 2])), tf.Variable(normal([1, 1]))
    with tf.GradientTape() as tape:
        y = network([x, condition])
    jacobian, of_condition = tape.jacobian(y, [x, condition])
    assert y.shape == [1, 4, 3]
    assert np.all(tf.reduce_max(tf.abs(jacobian), [0, 2, 3, 5]) > 0)
    assert np.all(of_condition != 0.0)
    swapped = network([x[:, ::-1], condition])
    assert np.max(np.abs(swapped - y[:, ::-1])) > 1e-3


def test_a_model_starts_near_the_identity_in_scale(flow):
    """Before training no latent is far from its pixel's size."""
    x = tf.random.stateless_uniform([4, 28, 28, 1], [0, 1], -0.5, 0.5)
    started = tg.flows.jet((28, 28, 1), patch_size=7, blocks=1, seed=0)
    assert 0.1 < np.std(started.encode(x)) / np.std(x) < 4.0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"patch_size": 3}, "patch_size must divide"),
        ({"patch_size": 4}, "even number of patches"),
        ({"patch_size": 0}, "patch_size must be"),
        ({"heads": 3}, "heads must divide"),
        ({"width": -1}, "width must be"),
        ({"layers": 0}, "layers must be"),
        ({"channel_couplings": 1.5}, "channel_couplings must be"),
    ],
)
def test_bad_arguments_are_named(changed, message):
    with pytest.raises((TypeError, ValueError), match=message):
        tg.flows.jet((4, 4, 1), **{**SMALL, **changed})


def test_a_permutation_wants_each_place_once():
    with pytest.raises(ValueError, match="order must hold"):
        tg.bijectors.Permutation([0, 2, 2])
    with pytest.raises(ValueError, match="reorders 3 values"):
        tg.bijectors.Permutation([2, 0, 1]).inverse(tf.zeros([2, 4]))
