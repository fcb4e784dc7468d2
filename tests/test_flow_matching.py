"""Flow matching: a loss by hand, a field in closed form, pairs, conditions and the Keras model."""

import functools
import warnings

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow import flows
from tfp_glow.networks import MLP
from tfp_glow.solvers.pairing import nearby_pairs

pytestmark = pytest.mark.slow

tfb = tfp.bijectors
SOLVER = 3e-7  # TFP's coefficients are rounded to float32.
MEAN, DEVIATION = np.array([1.0, -0.5]), np.array([0.4, 2.0])


def normal_field(inputs, error=0.0):
    """E[x_1 - x_0 given x_t = x] of data from N(MEAN, DEVIATION^2), and an error on request."""
    x, t = inputs
    variance = (1.0 - t) ** 2 + (t * DEVIATION) ** 2
    return MEAN + (t * DEVIATION**2 - (1.0 - t)) / variance * (x - t * MEAN) + error * tf.sin(x)


def field_of(flow: tg.Flow) -> tgb.ContinuousFlow:
    (field,) = (part for part in flow.bijector.submodules if isinstance(part, tgb.ContinuousFlow))
    return field


def flow_of(network, *around: tfb.Bijector) -> tg.Flow:
    field = tgb.ContinuousFlow(network, tolerance=1e-9, dtype="float64")
    return tg.Flow(tg.standard_normal(2, "float64"), tgb.Chain([*around, field]))


@pytest.mark.parametrize("pairing", ["independent", "optimal_transport"])
def test_the_loss_is_that_of_straight_paths_from_noise_to_data(pairing):
    seen = []

    def network(inputs):
        seen.append(inputs)
        return 0.3 * inputs[0] + inputs[1]

    flow = flow_of(network, tfb.Reshape([2, 1], [2]), tfb.Scale(tf.constant(2.0, tf.float64)))
    x = normal((2000, 2, 1), seed=1)
    losses = tg.flow_matching_loss(flow, x, pairing=pairing, seed=5)
    ((between, time),) = seen
    end = np.reshape(x, [-1, 2]) / 2.0
    start = (between - time * end) / (1.0 - time)
    expected = np.mean((0.3 * between + time - (end - start)) ** 2, -1)
    np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-9)
    for values, law in ((np.ravel(start), "norm"), (np.ravel(time), "uniform")):
        assert scipy.stats.kstest(values, law).pvalue > 1e-3
    distance = np.mean(np.sum((end - start) ** 2, -1))
    assert (distance < 1.3) if pairing == "optimal_transport" else (distance > 2.0)


def test_the_field_of_normal_data_is_the_minimum_and_gives_their_density():
    x = MEAN + DEVIATION * normal((20_000, 2), seed=2)
    error = tf.constant(0.0, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(error)
        losses = tg.flow_matching_loss(
            flow_of(functools.partial(normal_field, error=error)), x, seed=0
        )
        halves = tf.reduce_mean(tf.reshape(losses, [-1, 100]), 0)
    slopes = tape.jacobian(halves, error)
    assert np.abs(np.mean(slopes)) < 4 * np.std(slopes) / 10
    backwards = tgb.Invert(
        tgb.ContinuousFlow(
            lambda inputs: -normal_field([inputs[0], 1.0 - inputs[1]]), dtype="float64"
        )
    )
    inverted = tg.Flow(tg.standard_normal(2, "float64"), backwards)
    np.testing.assert_allclose(
        np.mean(tg.flow_matching_loss(inverted, x, seed=1)), np.mean(losses), rtol=0.03
    )
    worse = flow_of(functools.partial(normal_field, error=0.3))
    assert np.mean(losses) < np.mean(tg.flow_matching_loss(worse, x, seed=0)) - 0.01
    truth = np.sum(scipy.stats.norm(MEAN, DEVIATION).logpdf(x[:5]), -1)
    np.testing.assert_allclose(flow_of(normal_field).log_prob(x[:5]), truth, atol=10 * SOLVER)


def test_pairs_are_a_permutation_close_to_the_exact_assignment():
    noise, data = normal((64, 3), seed=3), normal((64, 3), seed=4)
    paired = nearby_pairs(noise, data).numpy()
    order = np.lexsort(paired.T), np.lexsort(noise.numpy().T)
    np.testing.assert_array_equal(paired[order[0]], noise.numpy()[order[1]])
    costs = np.sum((data.numpy()[:, None] - noise.numpy()) ** 2, -1)
    best = costs[scipy.optimize.linear_sum_assignment(costs)].mean()
    cost = np.mean(np.sum((data - paired) ** 2, -1))
    assert best <= cost < best + 0.1 * (np.mean(np.diag(costs)) - best)


def test_compiled_and_eager_losses_agree_and_what_is_not_valid_is_nan():
    x, y = normal((4000, 2), "float32"), tf.range(4000) % 3
    flow = flows.ffjord(2, num_classes=3, hidden_units=(8,), seed=0)
    randomize(flow.bijector)

    @tf.function(jit_compile=True)
    def compiled(x, y):
        return tg.flow_matching_loss(flow, x, y, seed=1), nearby_pairs(-x, x)

    # XLA draws other noise of the same seed.
    losses, paired = compiled(x, y)
    eager = tg.flow_matching_loss(flow, x, y, seed=1)
    assert scipy.stats.ks_2samp(losses, eager).pvalue > 1e-3
    np.testing.assert_allclose(paired, nearby_pairs(-x, x), atol=1e-6)
    other = tg.flow_matching_loss(flow, x, (y + 1) % 3, seed=1)
    assert np.abs(eager - other).min() > 1e-7

    x, y = (
        tf.tensor_scatter_nd_update(x, [[1, 0]], [np.nan]),
        y + 3 * tf.one_hot(2, 4000, dtype="int32"),
    )
    hostile = np.isnan(compiled(x, y)[0])
    np.testing.assert_array_equal(np.flatnonzero(hostile), [1, 2])


def test_a_model_trains_the_field_alone_and_goes_on_after_loading(tmp_path):
    x = 5.0 + normal((64, 2), "float32") ** 2
    weighted = tf.data.Dataset.from_tensor_slices((x, np.arange(64) % 2 * 2.0))
    weighted = weighted.map(lambda x, weight: (x, None, weight)).batch(32)
    model = tg.FlowModel(flows.ffjord(2, hidden_units=(8,), seed=0), loss="flow_matching", seed=1)
    model.compile(keras.optimizers.Adam(1e-2))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Gradients do not exist")
        fitted = model.fit(weighted, epochs=20, verbose=0).history
    assert set(fitted) == {"loss", "velocity_error"}
    np.testing.assert_allclose(fitted["loss"], fitted["velocity_error"], rtol=1e-4)
    assert np.mean(fitted["loss"][-5:]) < np.mean(fitted["loss"][:5])
    act_norm, _ = model.distribution.bijector.bijectors
    again = flows.ffjord(2, hidden_units=(8,), seed=0)
    first = act_norm.inverse(tf.zeros([1, 2]))
    assert model.evaluate(x, verbose=0) == model.evaluate(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.fit(x, batch_size=32, verbose=0)
    np.testing.assert_array_equal(
        loaded.distribution.bijector.bijectors[0].inverse(tf.zeros([1, 2])), first
    )
    assert loaded.evaluate(x, verbose=0) != model.evaluate(x, verbose=0)
    model.save_weights(tmp_path / "flow.weights.h5")
    tg.FlowModel(again).load_weights(tmp_path / "flow.weights.h5")
    for variable, saved in zip(again.variables, model.distribution.variables, strict=True):
        np.testing.assert_array_equal(variable, saved)


def test_a_u_net_reads_flat_events_as_images(tmp_path):
    flow = flows.ffjord(
        (4, 4, 2), network="unet", hidden_channels=4, tolerance=1e-2, num_classes=3, seed=0
    )
    x, y = normal((8, 4, 4, 2), "float32"), tf.range(8) % 3
    model = tg.FlowModel(flow, loss="flow_matching", seed=0)
    model.initialize(x, y)
    randomize(flow.bijector, scale=0.1)
    field = field_of(flow)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tg.flow_matching_loss(flow, x, y, seed=0))
    gradients = tape.gradient(loss, field.trainable_variables)
    assert all(np.any(gradient != 0) for gradient in gradients)
    given = tf.concat([tf.fill([8, 1], 0.3), tf.one_hot(y, 3)], -1)
    velocity = field.velocity(tf.reshape(x, [8, 32]), 0.3, tf.one_hot(y, 3))
    images = field._network([x, given])
    np.testing.assert_allclose(velocity, tf.reshape(images, [8, 32]), atol=1e-6)
    traced = tf.function(lambda x: field.velocity(x, 0.3, tf.one_hot(y, 3)))
    traced = traced.get_concrete_function(tf.TensorSpec([None, None]))
    np.testing.assert_allclose(traced(tf.reshape(x, [8, 32])), velocity, atol=1e-5)
    for other in (tf.concat([given[:, :1] + 0.5, given[:, 1:]], -1), tf.reverse(given, [0])):
        assert np.abs(field._network([x, other]) - images).max() > 1e-4
    model.save(tmp_path / "model.keras")
    loaded = field_of(keras.saving.load_model(tmp_path / "model.keras").distribution)
    np.testing.assert_allclose(loaded._network([x, given]), images, atol=1e-5)


def test_integers_and_conditions_read_by_a_network_are_matched():
    images = np.random.default_rng(0).integers(0, 4, [16, 4]).astype("uint8")
    series = normal((16, 5, 1), "float32")
    reader = keras.Sequential([keras.layers.GRU(3)])
    inner = flows.ffjord(4, condition_size=3, hidden_units=(4,), seed=0)
    flow = flows.conditioned(inner, reader, (5, 1))
    model = tg.FlowModel(tg.Dequantized(flow, 4), loss="flow_matching", seed=0)
    model.compile(keras.optimizers.SGD(0.1))
    before = [v.numpy() for v in reader.trainable_variables]
    model.fit(images, series, batch_size=8, verbose=0)
    assert all(np.any(a != b) for a, b in zip(before, reader.trainable_variables, strict=True))
    assert set(model.evaluate(images, series, verbose=0, return_dict=True)) == {
        "loss",
        "velocity_error",
    }


def in_a_loop() -> tg.Flow:
    def make_step():
        network = MLP(2, hidden_units=(4,), inputs=(2,), condition_size=1)
        return tgb.ContinuousFlow(network)

    return tg.Flow(tg.standard_normal(2), tgb.Repeat(make_step, 1))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: flows.ffjord(2, steps=2), ValueError, "exactly one ContinuousFlow"),
        (lambda: flows.maf(2), ValueError, "exactly one ContinuousFlow"),
        (in_a_loop, ValueError, "outside of loops"),
        (lambda: flows.ffjord(2, kinetic=0.1), ValueError, "no penalty on its paths"),
        (lambda: tg.standard_normal(2), TypeError, "flow must be a Flow"),
        (
            lambda: tg.Dequantized(flows.ffjord(2), 4, noise=flows.dequantization_noise(2)),
            ValueError,
            "Dequantized by uniform noise",
        ),
    ],
)
def test_flows_without_a_field_of_their_own_are_refused(build, error, message):
    with pytest.raises(error, match=message):
        tg.FlowModel(build(), loss="flow_matching")


def test_bad_arguments():
    conditional = flows.ffjord(2, num_classes=3)
    with pytest.raises(ValueError, match="for flows without a condition"):
        tg.FlowModel(conditional, loss="ot_flow_matching")
    with pytest.raises(ValueError, match="loss must be one of"):
        tg.FlowModel(conditional, loss="nats")
    with pytest.raises(ValueError, match="must hold as many values as an event"):
        tgb.ContinuousFlow(lambda i: i[0], network_shape=(2, 2, 1)).velocity(tf.zeros([1, 2]), 0.0)
    with pytest.raises(ValueError, match="pairing must be one of"):
        tg.flow_matching_loss(conditional, tf.zeros([1, 2]), [0], pairing="exact")
    for sizes, message in (
        ({"hidden_channels": 6}, "hidden_channels must be a multiple of 4"),
        ({"levels": 3}, "divisible by 4"),
        ({"network": "cnn"}, "network must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            flows.ffjord((6, 6, 1), **{"network": "unet", **sizes})
