"""Directions of attributes, latents under other conditions, and mixed levels."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import jacobian_log_det, normal, randomize
from tfp_glow.bijectors import Chain, GlowStep, Invert, Repeat
from tfp_glow.networks import ImageViT, SelfAttention, TokenMLP

tfb = tfp.bijectors
SHAPE = (4, 4, 1)


@pytest.fixture(scope="module")
def linear():
    """A flow whose latents are a linear map of the data."""
    factor = tf.constant([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 0.5, 3.0]], tf.float64)
    bijector = tfb.Chain([tfb.Shift(normal([3])), tfb.ScaleMatvecTriL(factor)])
    return tg.Flow(tg.standard_normal(3, "float64"), bijector)


@pytest.fixture(scope="module")
def flow():
    """A Glow on images of three classes, away from its start."""
    sizes = {"levels": 2, "steps": 1, "hidden_channels": 4, "num_classes": 3}
    made = tg.flows.glow(SHAPE, seed=0, dtype="float64", **sizes)
    randomize(made.bijector, scale=0.2)
    return made


def test_along_the_direction_of_a_linear_flow_means_differ_as_the_data(linear):
    x_with, x_without = normal([7, 3], seed=1) + 1.0, normal([5, 3], seed=2)
    direction = tg.attribute_direction(linear, x_with, x_without, batch_size=3)
    difference = np.mean(x_with, 0) - np.mean(x_without, 0)
    x, strengths = normal([2, 3]), [-2.0, 0.0, 0.5]
    moved = tg.manipulate(linear, x, direction, strengths)
    expected = np.stack([x + strength * difference for strength in strengths])
    np.testing.assert_allclose(moved, expected, atol=1e-12)


@pytest.mark.parametrize("others", [1, 2])
def test_an_orthogonal_direction_loses_what_lies_along_the_others(linear, others):
    x_with, x_without = normal([7, 3], seed=1) + 1.0, normal([5, 3], seed=2)
    whole = tg.attribute_direction(linear, x_with, x_without)
    basis = normal([others, 3], seed=3).numpy()
    part = tg.attribute_direction(linear, x_with, x_without, orthogonal_to=basis)
    np.testing.assert_allclose(basis @ part.numpy(), np.zeros(others), atol=1e-12)
    coefficients = np.linalg.lstsq(basis.T, whole - part, rcond=None)[0]
    np.testing.assert_allclose(coefficients @ basis, whole - part, atol=1e-12)


@pytest.mark.slow
def test_conditions_are_those_of_each_group(flow):
    """Of each example, or one for all; the direction is the difference of the mean latents."""
    x = 0.3 * normal([5, *SHAPE])
    classes = tf.constant([0, 2, 1, 2, 0])
    direction = tg.attribute_direction(
        flow, x, x[:3], condition_with=classes, condition_without=1, batch_size=2
    )
    z_with, z_without = flow.encode(x, classes), flow.encode(x[:3], [1, 1, 1])
    expected = np.mean(z_with, 0) - np.mean(z_without, 0)
    np.testing.assert_allclose(direction, expected, atol=1e-12)
    moved = tg.manipulate(flow, x, direction, [0.0, 1.5], condition=classes)
    np.testing.assert_allclose(moved[0], x, atol=1e-10)
    back = flow.encode(moved[1], classes)
    np.testing.assert_allclose(back, z_with + 1.5 * direction, atol=1e-9)


def test_the_same_latents_under_another_class_and_back(flow):
    x, old, new = 0.3 * normal([3, *SHAPE]), [0, 1, 2], [1, 1, 0]
    other = tg.recondition(flow, x, old, new)
    np.testing.assert_allclose(flow.encode(other, new), flow.encode(x, old), atol=1e-10)
    np.testing.assert_allclose(other[1], x[1], atol=1e-10)
    assert np.abs(other - x).reshape(3, -1).max(1)[[0, 2]].min() > 1e-3
    np.testing.assert_allclose(tg.recondition(flow, other, new, old), x, atol=1e-10)


def test_mixed_images_have_the_levels_of_two(flow):
    fine, coarse = 0.3 * normal([2, *SHAPE], seed=1), 0.3 * normal([2, *SHAPE], seed=2)
    mixed = tg.mix_levels(flow, fine, coarse, condition=1)
    parts = [tg.split_levels(flow, flow.encode(image, 1)) for image in (mixed, fine, coarse)]
    np.testing.assert_allclose(parts[0][0], parts[1][0], atol=1e-10)
    np.testing.assert_allclose(parts[0][1], parts[2][1], atol=1e-10)
    with pytest.raises(ValueError, match="below the flow's 2 levels"):
        tg.mix_levels(flow, fine, coarse, coarse_levels=2, condition=1)


def test_levels_are_found_behind_class_labels():
    flow = tg.flows.realnvp((4, 4, 1), levels=2, hidden_channels=2, num_classes=3, seed=0)
    z = normal([2, 16], "float32")
    fine, coarse = tg.split_levels(flow, z)
    assert fine.shape == coarse.shape == (2, 2, 2, 2)
    np.testing.assert_array_equal(tg.join_levels(flow, [fine, coarse]), z)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_with": np.zeros([0, 3])}, "x_with must be one or more examples"),
        ({"x_without": np.zeros([3])}, "x_without must be one or more examples"),
        ({"x_with": np.full([2, 3], np.nan)}, "x_with must have finite latents"),
        ({"x_with": tf.zeros([2, 3])}, "x must have dtype float64"),
        ({"orthogonal_to": np.zeros([2])}, "orthogonal_to must have 3 values"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"condition_with": 1}, "condition must be None"),
    ],
)
def test_bad_groups_are_named(linear, change, message):
    arguments = {"x_with": np.ones([2, 3]), "x_without": np.zeros([2, 3])} | change
    with pytest.raises((TypeError, ValueError), match=message):
        tg.attribute_direction(linear, arguments.pop("x_with"), **arguments)


@pytest.mark.parametrize("strengths", [[], 1.0, [np.nan], [[0.0]]])
def test_bad_strengths_and_directions_are_named(linear, strengths):
    with pytest.raises(ValueError, match="strengths must be a list of finite numbers"):
        tg.manipulate(linear, np.ones([1, 3]), np.ones(3), strengths)
    with pytest.raises(ValueError, match="direction must have 3 values"):
        tg.manipulate(linear, np.ones([1, 3]), np.ones([1, 3]), [0.0])
    with pytest.raises(ValueError, match="flow must take a condition"):
        tg.recondition(linear, np.ones([1, 3]), 0, 1)


@pytest.mark.slow
def test_between_flows_of_other_structure_the_log_det_is_exact():
    """Two levels of convolutions to one level of transformers: what a network is does not count."""
    options = {"seed": 0, "dtype": "float64"}
    two_levels = tg.flows.glow(SHAPE, levels=2, steps=1, hidden_channels=4, **options)
    sizes = {"hidden_channels": 8, "layers": 1, "heads": 2, "reversible": True}
    transformers = tg.flows.glow(SHAPE, levels=1, steps=2, network="vit", **sizes, **options)
    between = Chain([two_levels.bijector, Invert(transformers.bijector)])
    randomize(between, scale=0.2)
    y = 0.3 * normal(SHAPE)
    x, log_det = between.forward_and_log_det(y)
    np.testing.assert_allclose(log_det, jacobian_log_det(between.forward, y), atol=1e-9)
    np.testing.assert_allclose(between.inverse(tf.identity(x)), y, atol=1e-9)


def reversible_transformer(inputs, outputs, *, store_activations: bool) -> keras.Sequential:
    """A Reversible ViT from a half of an image's channels to the parameters of a law."""
    (height, width, _), dtype = inputs, {"dtype": "float64"}
    seeds = iter(range(4))
    dense = functools.partial(keras.layers.Dense, **dtype)
    initializer = keras.initializers.GlorotUniform
    return keras.Sequential(
        [
            keras.Input(inputs, **dtype),
            keras.layers.Reshape([height * width, inputs[-1]], **dtype),
            dense(8, kernel_initializer=initializer(next(seeds))),
            tg.layers.Reversible(
                SelfAttention(2, seed=next(seeds), **dtype),
                TokenMLP(expansion=2, seed=next(seeds), **dtype),
                depth=2,
                store_activations=store_activations,
                **dtype,
            ),
            dense(outputs, kernel_initializer=initializer(next(seeds))),
            keras.layers.Reshape([height, width, outputs], **dtype),
        ]
    )


@pytest.mark.slow
def test_a_reversible_transformer_is_a_coupling_network_in_a_loop():
    x, found = 0.3 * normal([2, 2, 2, 4]), []
    for store in (False, True):
        network = functools.partial(reversible_transformer, store_activations=store)
        step = functools.partial(GlowStep, 4, network, event_shape=(2, 2, 4), seed=0)
        loop = Repeat(lambda step=step: step(dtype="float64"), 2, reversible=not store)
        randomize(loop, scale=0.1)

        @tf.function(autograph=False)
        def gradients(loop=loop):
            with tf.GradientTape() as tape:
                z, log_det = loop.inverse_and_log_det(x)
                loss = tf.reduce_sum(tf.square(z)) - tf.reduce_sum(log_det)
            return log_det, tape.gradient(loss, loop.trainable_variables)

        found.append(gradients())
    np.testing.assert_allclose(found[0][0][0], jacobian_log_det(loop.inverse, x[0]), atol=1e-9)
    for rebuilt, stored in zip(found[0][1], found[1][1], strict=True):
        assert np.any(stored != 0.0)
        np.testing.assert_allclose(rebuilt, stored, atol=1e-8)


def test_a_transformer_on_images_reads_all_positions_and_is_saved():
    network = ImageViT(3, inputs=(2, 3, 4), width=8, layers=1, heads=2, condition_size=2, seed=0)
    x, condition = tf.Variable(normal([2, 2, 3, 4], "float32")), normal([2, 2], "float32")
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(network([x, condition])[0, 0, 0] * [1.0, 2.0, 3.0])
    gradient = tape.gradient(value, x)
    assert np.all(gradient[0] != 0.0)
    assert not np.any(gradient[1])
    copy = ImageViT.from_config(network.get_config())
    batches = tf.reshape(x, [1, 2, 2, 3, 4])
    np.testing.assert_array_equal(copy([batches, condition])[0], network([x, condition]))
    with pytest.raises(ValueError, match="network must be one of"):
        tg.flows.glow(SHAPE, levels=1, network="mlp")
