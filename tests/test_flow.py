"""Flow, Dequantized, glow and the latents' helpers: values and errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from hypothesis import given, settings
from hypothesis import strategies as st

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb

tfb, tfd = tfp.bijectors, tfp.distributions


@pytest.fixture(scope="module")
def flow() -> tg.Flow:
    flow = tg.flows.glow((4, 4, 1), levels=2, steps=2, hidden_channels=4, num_classes=3, seed=0)
    randomize(flow, scale=0.1)
    return flow


CLASSES = tf.constant([0, 1, 2])


def test_log_prob_is_base_plus_log_det(flow):
    x = normal([3, 4, 4, 1], "float32")
    z, ildj = flow.bijector.inverse_and_log_det(x, CLASSES)
    expected = tg.standard_normal(16).log_prob(z) + ildj
    np.testing.assert_allclose(flow.log_prob(x, condition=CLASSES), expected, rtol=1e-5)
    np.testing.assert_allclose(flow.encode(x, CLASSES), z, atol=1e-5)
    np.testing.assert_allclose(flow.decode(tf.identity(z), CLASSES), x, atol=1e-4)


def test_log_prob_of_samples_equals_sample_and_log_prob(flow):
    x, log_prob = flow.experimental_sample_and_log_prob(3, seed=1, condition=CLASSES)
    again = flow.log_prob(tf.identity(x), condition=CLASSES)
    np.testing.assert_allclose(again, log_prob, rtol=1e-4)


def test_temperature_scales_the_latents_and_seeds_repeat(flow):
    def latents(temperature):
        x = flow.sample(3, temperature=temperature, seed=1, condition=CLASSES)
        return flow.encode(tf.identity(x), CLASSES)

    hot = latents(1.0)
    np.testing.assert_allclose(latents(1.0), hot, atol=1e-4)
    np.testing.assert_allclose(latents(0.5), 0.5 * hot, atol=1e-4)
    np.testing.assert_allclose(latents(0.0), tf.zeros_like(hot), atol=1e-4)


def test_one_condition_serves_all_samples_and_shapes(flow):
    assert flow.sample(seed=1, condition=1).shape == (4, 4, 1)
    assert flow.sample(5, seed=1, condition=1).shape == (5, 4, 4, 1)
    assert flow.sample((2, 3), seed=1, condition=[0, 1, 2]).shape == (2, 3, 4, 4, 1)
    assert flow.log_prob(tf.zeros([2, 3, 4, 4, 1]), condition=[0, 1, 2]).shape == (2, 3)


def test_classes_change_the_density(flow):
    x = tf.zeros([3, 4, 4, 1])
    assert np.ptp(flow.log_prob(x, condition=CLASSES)) > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (6, 4, 1), "levels": 2}, r"divisible by 4.*\(6, 4, 1\) with levels=2"),
        ({"image_shape": (4, 4)}, r"image_shape must be \(H, W, C\)"),
        ({"levels": 0}, "levels"),
        ({"steps": 0}, "steps"),
        ({"hidden_channels": -1}, "hidden_channels"),
        ({"law": "cubic"}, "law must be one of.*'cubic'"),
        ({"conv": "qr"}, "parameterization"),
        ({"prior": "flat"}, "prior"),
        ({"prior": "standard", "num_classes": 3}, "num_classes needs prior='learned'"),
        ({"factor_out": 1.5}, "factor_out"),
        ({"factor_out": 0.01}, "factor_out must leave channels"),
    ],
)
def test_glow_names_bad_arguments(arguments, message):
    options = {"image_shape": (4, 4, 1), "levels": 2, "steps": 1, "hidden_channels": 2}
    with pytest.raises(ValueError, match=message):
        tg.flows.glow(**(options | arguments))


@pytest.mark.parametrize(
    "options",
    [
        {"law": "additive", "conv": "plain", "prior": "standard"},
        {"factor_out": 0.25, "law": "affine_exp", "dtype": "float64"},
        {"unroll": True, "levels": 1},
    ],
)
def test_glow_variants_invert(options):
    arguments = {"levels": 2, "steps": 1, "hidden_channels": 2, "seed": 1} | options
    flow = tg.flows.glow((4, 4, 1), **arguments)
    randomize(flow, scale=0.1)
    x = normal([2, 4, 4, 1], flow.dtype)
    np.testing.assert_allclose(flow.decode(tf.identity(flow.encode(x))), x, atol=1e-4)


def test_equal_seeds_give_equal_flows():
    def build(seed):
        return tg.flows.glow((4, 4, 1), levels=1, steps=2, hidden_channels=2, seed=seed)

    x = normal([2, 4, 4, 1], "float32")
    np.testing.assert_array_equal(build(1).log_prob(x), build(1).log_prob(x))
    one, other = (flow.bijector.variables for flow in (build(1), build(2)))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda: tg.flows.maf(3, steps=2, hidden_units=(4,), order="random"),
        lambda: tg.flows.glow((4, 4, 1), levels=1, steps=1, hidden_channels=4),
        lambda: tg.flows.residual_flow(3, steps=1, hidden_units=(4,)),
        lambda: tg.flows.planar(3, steps=2),
    ],
    ids=["maf", "glow", "residual_flow", "planar"],
)
def test_without_a_seed_that_of_keras_decides(make):
    def values(seed: int) -> np.ndarray:
        keras.utils.set_random_seed(seed)
        flow = make()
        return np.concatenate([np.ravel(v) for v in flow.variables])

    np.testing.assert_array_equal(values(1), values(1))
    assert np.any(values(1) != values(2))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros([2, 4, 4, 3], "float32"), ValueError, r"event shape \(4, 4, 1\)"),
        (np.zeros([4, 4], "float32"), ValueError, r"event shape \(4, 4, 1\)"),
        (tf.zeros([2, 4, 4, 1], "float64"), TypeError, "dtype float32"),
    ],
)
def test_flow_names_bad_data(flow, x, error, message):
    with pytest.raises(error, match=message):
        flow.log_prob(x, condition=0)
    with pytest.raises(error, match=message):
        flow.encode(x, 0)


def test_flow_names_other_bad_arguments(flow):
    x = tf.zeros([2, 4, 4, 1])
    with pytest.raises(ValueError, match="temperature must be at least 0"):
        flow.sample(2, temperature=-1.0, condition=0)
    with pytest.raises(ValueError, match="condition"):
        flow.log_prob(x)
    with pytest.raises(ValueError, match=r"ids from 0 to 2. Received: ids from 3 to 3"):
        flow.log_prob(x, condition=[3, 3])
    with pytest.raises(TypeError, match="distribution must be"):
        tg.Flow(tfb.Exp(), tfb.Exp())
    with pytest.raises(TypeError, match="bijector must be"):
        tg.Flow(tg.standard_normal(2), tg.standard_normal(2))


@pytest.mark.parametrize(
    "base",
    [
        tfd.Poisson(3.0),
        tfd.Bernoulli(0.5),
        tfd.Sample(tfd.Geometric(0.5), 2),
        tfd.Independent(tfd.Poisson([1.0, 2.0]), 1),
        tfd.MixtureSameFamily(tfd.Categorical([0.0, 1.0]), tfd.Poisson([1.0, 2.0])),
        tfd.QuantizedDistribution(tfd.Normal(0.0, 1.0)),
        tg.Dequantized(tg.Flow(tg.standard_normal(2), tgb.ActNorm(2)), 4),
    ],
    ids=lambda base: base.name,
)
def test_a_base_without_a_density_is_refused(base):
    """Its probabilities would be multiplied by a Jacobian determinant."""
    with pytest.raises(TypeError, match="distribution must have a density"):
        tg.Flow(base, tfb.Scale(2.0))


@pytest.mark.parametrize(
    ("base", "error", "message"),
    [
        # Log-dets [batch] would be added along the wrong dimension of log p(z) [batch, 3].
        (tfd.Normal(tf.zeros(3), 1.0), ValueError, "events of at least 1 dimensions"),
        (tfd.Normal(0.0, 1.0), ValueError, "tfd.Sample and tfd.Independent"),
        (tg.standard_normal(3, "float64"), TypeError, "dtype of the distribution, float64"),
        (
            tfd.JointDistributionSequential([tg.standard_normal(3), tg.standard_normal(3)]),
            TypeError,
            "events of one tensor",
        ),
    ],
    ids=["batch", "scalar", "dtype", "joint"],
)
def test_a_base_that_does_not_fit_the_bijector_is_named(base, error, message):
    with pytest.raises(error, match=message):
        tg.Flow(base, tgb.ActNorm(3))


def test_a_base_may_be_a_mixture_or_a_flow():
    mixture = tfd.MixtureSameFamily(tfd.Categorical([0.0, 1.0]), tfd.Normal([0.0, 1.0], 1.0))
    flow = tg.Flow(tg.Flow(mixture, tfb.Scale(2.0)), tfb.Scale(2.0))
    np.testing.assert_allclose(flow.log_prob(4.0), mixture.log_prob(1.0) - np.log(4.0), rtol=1e-6)


def test_out_of_range_classes_are_nan_in_compiled_code(flow):
    run = tf.function(lambda x, c: flow.log_prob(x, condition=c))
    log_prob = run(tf.zeros([2, 4, 4, 1]), tf.constant([1, 3]))
    assert np.isfinite(log_prob[0])
    assert np.isnan(log_prob[1])


def test_nan_is_reported_not_dropped(flow):
    x = np.zeros([2, 4, 4, 1], "float32")
    x[1, 2, 2] = np.nan
    log_prob = flow.log_prob(x, condition=0)
    assert np.isfinite(log_prob[0])
    assert np.isnan(log_prob[1])


def test_feature_conditions_of_the_wrong_size_are_named():
    network = tg.networks.MLP(4, hidden_units=(4,), inputs=(2,), condition_size=3)
    b = tgb.Coupling(network, condition_shape=(3,))
    with pytest.raises(ValueError, match=r"\[\.\.\., 3\]. Received: shape \(5, 2\)"):
        b.forward(tf.zeros([5, 4]), condition=tf.zeros([5, 2]))
    one = b.forward(tf.ones([5, 4]), condition=tf.ones([3]))
    np.testing.assert_allclose(one, b.forward(tf.ones([5, 4]), condition=tf.ones([5, 3])))


def test_stock_bijectors_make_a_flow():
    flow = tg.Flow(tg.standard_normal(2), tfb.Scale([2.0, 4.0]))
    x = normal([3, 2], "float32")
    expected = tfd.MultivariateNormalDiag(scale_diag=[2.0, 4.0]).log_prob(x)
    np.testing.assert_allclose(flow.log_prob(x), expected, rtol=1e-5)
    assert flow.initialized
    np.testing.assert_allclose(flow.initialize(x), flow.encode(x))


# Dequantized


def uniform_flow() -> tg.Flow:
    """log p(y) is known in closed form: a standard normal."""
    return tg.Flow(tg.standard_normal((2, 2, 1)), tfb.Identity())


def test_dequantization_bound_and_bits_per_dim():
    distribution = tg.Dequantized(uniform_flow(), num_bins=8)
    x = np.arange(8, dtype="uint8").reshape(2, 2, 2, 1)
    y = distribution.dequantize(x, seed=5)
    assert np.all((y >= x / 8 - 0.5) & (y < (x + 1) / 8 - 0.5))
    expected = uniform_flow().log_prob(y) - 4 * np.log(8)
    np.testing.assert_allclose(distribution.log_prob(x, seed=5), expected, rtol=1e-6)
    bits = distribution.bits_per_dim(x, seed=5)
    np.testing.assert_allclose(bits, -expected / (4 * np.log(2)), rtol=1e-6)


def test_the_bound_is_exact_for_a_uniform_density():
    """Under a flow that is uniform on [-0.5, 0.5], every integer costs log2(num_bins) bits."""
    base = tfd.Sample(tfd.Uniform(-0.5, 0.5), (2, 2, 1))
    distribution = tg.Dequantized(base, num_bins=16)
    x = np.random.default_rng(0).integers(0, 16, [5, 2, 2, 1])
    np.testing.assert_allclose(distribution.bits_per_dim(x), np.full(5, 4.0), rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(num_bins=st.integers(2, 300), seed=st.integers(0, 2**30))
def test_quantize_undoes_dequantize(num_bins, seed):
    distribution = tg.Dequantized(uniform_flow(), num_bins)
    x = np.random.default_rng(seed).integers(0, num_bins, [3, 2, 2, 1])
    np.testing.assert_array_equal(distribution.quantize(distribution.dequantize(x, seed)), x)


def test_samples_are_integers_in_range():
    distribution = tg.Dequantized(uniform_flow(), num_bins=8)
    x = distribution.sample(50, seed=1)
    assert x.dtype == tf.int32
    assert x.shape == (50, 2, 2, 1)
    assert 0 <= np.min(x) < np.max(x) <= 7
    cold = distribution.sample(5, seed=1, temperature=0.0)
    np.testing.assert_array_equal(cold, np.full([5, 2, 2, 1], 4))


def test_dequantized_names_bad_data():
    distribution = tg.Dequantized(uniform_flow(), num_bins=8)
    with pytest.raises(TypeError, match=r"integers from 0 to 7. Received: dtype float32"):
        distribution.log_prob(tf.zeros([1, 2, 2, 1]))
    with pytest.raises(ValueError, match="values from 0 to 8"):
        distribution.log_prob([[[[0], [8]], [[0], [0]]]])
    with pytest.raises(TypeError, match="num_bins"):
        tg.Dequantized(uniform_flow(), num_bins=8.0)
    with pytest.raises(TypeError, match="flow must be"):
        tg.Dequantized(tfb.Exp())
    compiled = tf.function(distribution.log_prob)(tf.fill([1, 2, 2, 1], 8))
    assert np.isnan(compiled).all()


# Latents


def test_levels_split_and_join(flow):
    z = normal([3, 16], "float32")
    fine, coarse = tg.split_levels(flow, z)
    assert (fine.shape, coarse.shape) == ((3, 2, 2, 2), (3, 1, 1, 8))
    np.testing.assert_array_equal(tg.join_levels(flow, [fine, coarse]), z)
    with pytest.raises(ValueError, match="16 values"):
        tg.split_levels(flow, z[:, :5])
    with pytest.raises(ValueError, match="parts must have shapes"):
        tg.join_levels(flow, [coarse, fine])
    with pytest.raises(TypeError, match="MultiScale"):
        tg.split_levels(uniform_flow(), z)


def test_interpolation_ends_at_its_images(flow):
    start, end = normal([2, 4, 4, 1], "float32")
    frames = tg.interpolate(flow, start, end, steps=5, condition=1)
    assert frames.shape == (5, 4, 4, 1)
    np.testing.assert_allclose(frames[0], start, atol=1e-4)
    np.testing.assert_allclose(frames[-1], end, atol=1e-4)
    middle = 0.5 * (flow.encode(start, 1) + flow.encode(end, 1))
    np.testing.assert_allclose(flow.encode(tf.identity(frames[2]), 1), middle, atol=1e-4)
    with pytest.raises(ValueError, match="steps must be at least 2"):
        tg.interpolate(flow, start, end, steps=1)
    with pytest.raises(ValueError, match="end must have the shape of start"):
        tg.interpolate(flow, start, end[tf.newaxis], condition=1)


# Networks


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_networks_take_any_leading_dimensions_and_a_condition(batch):
    # Seeded: of four rectified units all can be dead at one example.
    options = {"condition_size": 2, "seed": 0}
    conv = tg.networks.GlowNetwork(5, hidden_channels=4, inputs=(2, 2, 3), **options)
    mlp = tg.networks.MLP(5, hidden_units=(4,), inputs=(3,), **options)
    condition = normal([*batch, 2], "float32")
    for network, shape in ((conv, (2, 2, 3)), (mlp, (3,))):
        for variable in network.trainable_variables:
            variable.assign_add(0.3 * normal(variable.shape, "float32"))
        x = normal([*batch, *shape], "float32")
        y = network([x, condition])
        assert y.shape == (*batch, *shape[:-1], 5)
        assert not np.allclose(y, network([x, condition + 1.0]))


def test_glow_network_starts_as_published():
    network = tg.networks.GlowNetwork(6, hidden_channels=64, inputs=(8, 8, 16), seed=0)
    np.testing.assert_array_equal(network(normal([2, 8, 8, 16], "float32")), tf.zeros([2, 8, 8, 6]))
    for layer in (network.first, network.second):
        np.testing.assert_allclose(np.std(layer.kernel), 0.05, rtol=0.05)


def test_padding_is_visible_to_the_network():
    layer = tg.networks.ZeroConv2D(1, 3)
    layer.build((None, 4, 4, 1))
    layer.edge_kernel.assign(tf.ones([3, 3, 1, 1]))
    touched = layer(tf.zeros([1, 4, 4, 1]))[0, :, :, 0]
    expected = [[5, 3, 3, 5], [3, 0, 0, 3], [3, 0, 0, 3], [5, 3, 3, 5]]
    np.testing.assert_array_equal(touched, np.array(expected, "float32"))


def test_any_keras_model_serves_as_network():
    inputs = keras.Input([4, 4, 1])
    hidden = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    network = keras.Model(inputs, keras.layers.Conv2D(2, 3, padding="same")(hidden))
    b = tgb.Coupling(network, event_ndims=3)
    x = normal([2, 3, 4, 4, 2], "float32")
    z, ildj = b.inverse_and_log_det(x)
    np.testing.assert_allclose(b.forward(tf.identity(z)), x, atol=1e-5)
    assert ildj.shape == (2, 3)
    assert len(b.trainable_variables) == 4


def test_squeeze_order_is_exact():
    x = np.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3).astype("float32")
    z = tgb.Squeeze(2).inverse(x)
    np.testing.assert_array_equal(z, tf.nn.space_to_depth(x, 2))
    for i, j, c in np.ndindex(2, 2, 3):
        np.testing.assert_array_equal(z[:, 1, 0, (i * 2 + j) * 3 + c], x[:, 2 + i, j, c])
    with pytest.raises(ValueError, match=r"height divisible by 3.*height 4"):
        tgb.Squeeze(3).inverse(x)
    with pytest.raises(ValueError, match="channels divisible by 4"):
        tgb.Squeeze(2).forward(x)
