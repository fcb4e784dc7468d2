"""TarFlow: sampling with a cache, classes, guidance, noise."""

import copy
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import jacobian_log_det, normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow import flows
from tfp_glow.core.label_dropout import LabelDropout
from tfp_glow.core.modes import guided
from tfp_glow.networks import MLP, CausalTransformer

tfd = tfp.distributions
SHAPE, CLASSES = (4, 6, 1), tf.constant([0, 1, 2])
SMALL = {"width": 8, "blocks": 2, "layers": 2, "heads": 2, "seed": 0}


def build(dtype: str = "float64", **kwargs) -> tg.Flow:
    flow = flows.tarflow(SHAPE, **{**SMALL, "num_classes": 3, "dtype": dtype, **kwargs})
    randomize(flow.bijector)
    return flow


@pytest.fixture(scope="module")
def flow() -> tg.Flow:
    return build()


def tokens(dtype: str = "float64") -> tgb.AutoregressiveTokens:
    network = functools.partial(CausalTransformer, width=6, heads=2, seed=0, dtype=dtype)
    block = tgb.AutoregressiveTokens(
        network, event_shape=(5, 2), condition_shape=(3,), reach=2.0, dtype=dtype
    )
    randomize(block)
    return block


def sampled_without_a_cache(block, z, condition, weight: float = 0.0):
    """The whole network once a token, guided by hand."""
    x = tf.zeros_like(z)
    for _ in range(z.shape[1]):
        seen = tf.clip_by_value(x, -2.0, 2.0)
        raw = block._network([seen, condition])
        raw += weight * (raw - block._network([seen, tf.zeros_like(condition)]))
        x, log_det = block._law.forward(z, raw)
    return x, tf.reduce_sum(log_det, [1, 2])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_sampling_with_the_cache_equals_sampling_without(dtype, tolerance):
    block, z, condition = tokens(dtype), normal((3, 5, 2), dtype), normal((3, 3), dtype, seed=1)
    expected, expected_log_det = sampled_without_a_cache(block, z, condition)
    x, log_det = block.forward_and_log_det(z, condition)
    np.testing.assert_allclose(x, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(log_det, expected_log_det, rtol=tolerance, atol=tolerance)
    one = block.forward(z[:1], condition=condition[0])
    np.testing.assert_allclose(one, expected[:1], rtol=tolerance, atol=tolerance)


def test_outputs_read_the_tokens_before_alone_and_come_one_by_one_too():
    network, x, condition = tokens()._network, normal((1, 5, 2)), normal((1, 3))
    outputs = network([x, condition])
    changed = network([x + tf.one_hot([2], 5, dtype=x.dtype)[..., None], condition])
    changes = tf.reduce_max(tf.abs(changed - outputs), [0, 2]).numpy()
    np.testing.assert_array_equal(changes[:3], 0)
    assert changes[3:].min() > 1e-3

    cache = network.empty_cache(1)
    for index in range(5):
        # What stands before the first token has no meaning.
        output, cache = network.step(x[:, index - 1], index, cache, condition)
        np.testing.assert_allclose(output, outputs[:, index], atol=1e-12)


@pytest.mark.slow
def test_density_of_a_sample_is_its_own_compiled_or_not(flow):
    z = normal((3, 24))
    x, log_det = flow.bijector.forward_and_log_det(z, CLASSES)
    own = flow.distribution.log_prob(z) - log_det
    spec = tf.TensorSpec([None, *SHAPE], "float64"), tf.TensorSpec([None], "int32")

    @tf.function(input_signature=spec, jit_compile=True)
    def run(x, classes):
        with tf.GradientTape() as tape:
            z, log_prob = flow.encode_and_log_prob(x, classes)
        gradients = tape.gradient(log_prob, flow.trainable_variables)
        return z, log_prob, gradients

    z_again, log_prob, gradients = run(tf.identity(x), CLASSES)
    np.testing.assert_allclose(flow.log_prob(tf.identity(x), condition=CLASSES), own, rtol=1e-9)
    np.testing.assert_allclose(log_prob, own, rtol=1e-9)
    np.testing.assert_allclose(z_again, z, atol=1e-9)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)

    def encode(x):
        return flow.encode(x, tf.ones(tf.shape(x)[:1], tf.int32))

    true = jacobian_log_det(encode, x[1])
    np.testing.assert_allclose(-log_det[1], true, atol=1e-8)
    assert np.isnan(run(x, tf.constant([0, -2, 3]))[1][1:]).all()


@pytest.mark.slow
def test_saving_memory_changes_no_gradient(flow):
    saving = build(memory_saving=True)
    x = tf.identity(flow.decode(normal((3, 24)), CLASSES))
    gradients = []
    for each in (flow, saving):
        with tf.GradientTape() as tape:
            log_prob = each.log_prob(x, condition=CLASSES)
        gradients.append(tape.gradient(log_prob, each.trainable_variables))
    for plain, recomputed in zip(*gradients, strict=True):
        np.testing.assert_allclose(recomputed, plain, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
def test_the_null_class_is_a_class_of_its_own(flow):
    x = tf.identity(flow.decode(normal((1, 24)), [0]))
    x = tf.repeat(x, 4, axis=0)
    assert len(set(flow.log_prob(x, condition=[-1, 0, 1, 2]).numpy().round(6))) == 4
    copied = copy.deepcopy(flow).log_prob(x, condition=[-1, 0, 1, 2])
    np.testing.assert_array_equal(copied, flow.log_prob(x, condition=[-1, 0, 1, 2]))
    assert (flow.num_classes, flow.class_ids) == (3, range(-1, 3))
    with pytest.raises(ValueError, match="class ids from -1 to 2"):
        flow.log_prob(x, condition=[-2, 0, 1, 2])
    with pytest.raises(ValueError, match="class ids from 0 to 2"):
        build(label_dropout=0.0).log_prob(x, condition=[-1, 0, 1, 2])


def test_training_drops_a_share_of_the_labels():
    dropout, labels = LabelDropout(0.25, seed=0), tf.one_hot(tf.zeros([4000], tf.int32), 3)
    np.testing.assert_array_equal(dropout(labels), labels)
    dropped = dropout(labels, training=True)
    assert set(np.unique(dropped)) == {0, 1}
    assert 0.2 < 1 - np.sum(dropped) / 4000 < 0.3
    assert np.any(dropout(labels, training=True) != dropped)


@pytest.mark.slow
def test_guidance_mixes_the_parameters_of_every_token(flow):
    block, z, condition = tokens(), normal((3, 5, 2)), normal((3, 3), seed=1)
    expected, _ = sampled_without_a_cache(block, z, condition, weight=1.5)
    with guided(tf.constant(1.5)):
        x = block.forward(z, condition=condition)
        np.testing.assert_allclose(block.inverse(tf.identity(x), condition=condition), z)
    np.testing.assert_allclose(x, expected, atol=1e-10)

    draw = functools.partial(flow.sample, 3, condition=CLASSES, seed=1)
    plain = draw()
    np.testing.assert_allclose(draw(guidance=0), plain, atol=1e-12)
    assert np.abs(draw(guidance=1.0) - plain).max() > 1e-2
    null = functools.partial(flow.sample, 3, condition=[-1] * 3, seed=1)
    np.testing.assert_allclose(null(guidance=2.0), null(), atol=1e-12)
    assert np.abs(draw(guidance=1.0, temperature=0.5) - draw(guidance=1.0)).max() > 1e-2


def test_a_null_class_alone_gives_no_guidance():
    coupling = tgb.Coupling(MLP(4, inputs=(2,), condition_size=3, seed=0), condition_shape=(3,))
    classes = tgb.ClassConditional(coupling, 3, label_dropout=0.1)
    assert classes.class_ids == range(-1, 3)
    with pytest.raises(ValueError, match="guidance needs a flow of autoregressive tokens"):
        tg.Flow(tg.standard_normal(4), classes).sample(condition=0, guidance=1.0)


@pytest.mark.parametrize(
    ("kwargs", "guidance", "message"),
    [
        ({"label_dropout": 0.0}, 1.0, "null class"),
        ({"num_classes": None, "condition_size": 2}, 1.0, "null class"),
        ({}, -1.0, "guidance must be at least 0"),
    ],
)
def test_guidance_where_there_is_none(kwargs, guidance, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs).sample(2, guidance=guidance, condition=[0, 1])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"patch_size": 3}, "patch_size must divide the sides of image_shape"),
        ({"heads": 3}, "heads must divide the width 8"),
        ({"label_dropout": 1.0}, "label_dropout"),
        ({"num_classes": 3, "condition_size": 2}, "exclude each other"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        flows.tarflow(SHAPE, **{**SMALL, **kwargs})


def test_a_network_without_steps_is_refused():
    with pytest.raises(TypeError, match="step and empty_cache"):
        tgb.AutoregressiveTokens(keras.layers.Identity())


def test_denoising_is_the_posterior_mean_of_a_gaussian():
    """Data N(1, 2^2) with noise 0.5: the mean of the clean value given the noisy one."""
    noisy = tfd.Sample(tfd.Normal(tf.constant(1.0, tf.float64), 4.25**0.5), (3,))
    x = normal((5, 3))
    expected = (4.0 * x + 0.25 * 1.0) / 4.25
    np.testing.assert_allclose(tg.denoise(noisy, x, sigma=0.5), expected, atol=1e-12)
    np.testing.assert_array_equal(tg.denoise(noisy, x, sigma=0.0), x)

    distribution = tg.Noised(noisy, sigma=0.5)
    drawn = noisy.sample(4, seed=[1, 2])
    expected = (4.0 * drawn + 0.25 * 1.0) / 4.25
    np.testing.assert_allclose(distribution.sample(4, seed=[1, 2]), expected, atol=1e-12)
    np.testing.assert_allclose(
        distribution.log_prob(x, seed=3), noisy.log_prob(distribution.with_noise(x, seed=3))
    )
    assert np.std(distribution.with_noise(tf.zeros([4000], tf.float64), seed=1)) < 0.55
    for arguments, error in (((noisy, 0.0), ValueError), ((None,), TypeError)):
        with pytest.raises(error):
            tg.Noised(*arguments)


@pytest.mark.slow
def test_noised_images_train_and_are_described():
    flow = build("float32", blocks=1, layers=1)
    model = tg.FlowModel(tg.Noised(flow, sigma=0.1), seed=1)
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=1.0), run_eagerly=True)
    x, y = 0.3 * normal((64, *SHAPE), "float32"), np.arange(64) % 4 - 1
    history = model.fit(x, y, epochs=3, verbose=0).history
    assert history["nats"][-1] < history["nats"][0]
    again = tg.FlowModel.from_config(model.get_config())
    again.set_weights(model.get_weights())
    assert again.distribution.sigma == 0.1
    kwargs = {"seed": [1, 2], "condition": CLASSES, "temperature": 0.7}
    drawn, expected = (m.distribution.sample(3, **kwargs) for m in (again, model))
    np.testing.assert_allclose(drawn, expected, atol=1e-6)
