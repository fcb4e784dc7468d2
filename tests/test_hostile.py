"""Input that has no density is NaN or an error, and harms nothing beside it."""

from __future__ import annotations

import copy
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal, randomize
from tests.test_recipes import CONDITIONAL, QUICK, build, data, mostly_slow
from tfp_glow import bijectors as tgb
from tfp_glow import flows

tfd = tfp.distributions

# Another recipe's graphs are of the same kind.
ALIKE = ("gaussian", "iaf", "nice", "planar", "radial", "realnvp", "residual_flow")
EXPORTED = [name for name in CONDITIONAL if name not in ALIKE]
# The others, whose steps the contract test compiles, take longest.
COMPILED = [n for n in EXPORTED if n not in ("ffjord", "waveglow") and not n.endswith("-images")]
CLASSES = np.array([0, 1, 2, 9, 1, 2], np.int32)
GOOD, BAD = [0, 4, 5], [1, 2, 3]


class Hostile:
    """A conditional flow; rows of which one is NaN, one infinite, one of an unknown class."""

    def __init__(self, name: str):
        self.flow = build(name, num_classes=3)
        randomize(self.flow.bijector, scale=0.05)
        x = data(name, 6).numpy()
        x[1].flat[0], x[2].flat[-1] = np.nan, np.inf
        if self.flow.event_shape.rank == 1:
            x[4] *= 10.0 / np.abs(x[4]).max()  # Images end at their interval.
        self.x = x

    def expected(self) -> np.ndarray:
        """The densities of the good rows; in a batch of that size, which decides their noise."""
        mended, known = self.x.copy(), np.where(CLASSES > 2, 0, CLASSES)
        mended[BAD] = 0.0
        return self.log_prob(mended, known).numpy()[GOOD]

    def log_prob(self, x, classes):
        with tg.evaluation():
            return self.flow.log_prob(x, condition=classes)

    def check(self, log_prob) -> None:
        """Checks a compiled `log_prob(x, classes)`."""
        expected = self.expected()
        actual = log_prob(tf.constant(self.x), tf.constant(CLASSES)).numpy()
        np.testing.assert_allclose(actual[GOOD], expected, rtol=2e-4, atol=2e-4)
        assert np.isnan(actual[BAD]).all()


@pytest.fixture(scope="module")
def made() -> dict:
    return {}


@pytest.fixture(params=mostly_slow(CONDITIONAL))
def hostile(request, made) -> Hostile:
    if request.param not in made:
        made[request.param] = Hostile(request.param)
    return made[request.param]


def specs(hostile: Hostile) -> list:
    return [tf.TensorSpec([None, *hostile.flow.event_shape]), tf.TensorSpec([None], tf.int32)]


def test_eagerly(hostile):
    x, known = hostile.x, np.where(CLASSES > 2, 0, CLASSES)
    expected = hostile.expected()
    actual = hostile.log_prob(x, known).numpy()
    np.testing.assert_allclose(actual[GOOD], expected, rtol=2e-4, atol=2e-4)
    assert np.isnan(actual[[1, 2]]).all()
    z = hostile.flow.encode(x, known).numpy()
    assert np.isnan(z[[1, 2]]).all()
    assert np.isfinite(z[GOOD]).all()
    with pytest.raises(ValueError, match=r"class ids from (0|-1) to 2"):
        hostile.log_prob(x, CLASSES)
    assert hostile.log_prob(x[:0], known[:0]).shape == (0,)
    assert hostile.flow.sample(0, condition=known[:0], seed=1).shape[0] == 0
    with pytest.raises(ValueError, match="event shape"):
        hostile.log_prob(x[..., :-1] if x.shape[-1] > 1 else x[:, 0], known)


@pytest.mark.slow
@pytest.mark.parametrize("hostile", COMPILED, indirect=True)
def test_compiled(hostile):
    """By XLA; graphs without it are those of the exported signatures below."""
    hostile.check(tf.function(hostile.log_prob, input_signature=specs(hostile), jit_compile=True))
    sample = tf.function(
        lambda classes: hostile.flow.sample(3, seed=1, condition=classes),
        input_signature=[tf.TensorSpec([3], tf.int32)],
    )
    x = sample(tf.constant([0, 7, 2])).numpy()
    assert np.isnan(x[1]).all()
    assert np.isfinite(x[[0, 2]]).all()


@pytest.mark.slow
@pytest.mark.parametrize("hostile", EXPORTED, indirect=True)
def test_exported(hostile, tmp_path, without_gradients):
    flow = hostile.flow
    tg.export_saved_model(flow, tmp_path / "exported")
    loaded = tf.saved_model.load(str(tmp_path / "exported"))

    def answer(signature, classes, **inputs):
        (output,) = loaded.signatures[signature](condition=classes, **inputs).values()
        return output

    def log_prob(x, classes):
        return answer("log_prob", classes, x=x)

    hostile.check(log_prob)
    x, known = tf.constant(hostile.x[GOOD]), tf.constant(CLASSES[GOOD])
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    close(log_prob(x, known), hostile.log_prob(x, known))
    z = answer("encode", known, x=x)
    close(z, flow.encode(x, known))
    close(answer("decode", known, z=z), flow.decode(z, known))
    assert log_prob(tf.constant(hostile.x[:0]), tf.constant(CLASSES[:0])).shape == (0,)
    for wrong in (hostile.x[0], hostile.x[..., np.newaxis], hostile.x[..., :0]):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"x must have shape \[batch, "):
            log_prob(tf.constant(wrong), tf.constant(CLASSES))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"condition must have shape \[batch\]"
    ):
        log_prob(tf.constant(hostile.x), tf.constant(CLASSES[:, np.newaxis]))


def test_a_feature_vector_with_nan_makes_its_example_nan():
    flow = flows.realnvp(3, steps=2, hidden_units=(8,), condition_size=2, seed=0)
    randomize(flow.bijector)
    condition = np.ones([3, 2], "float32")
    condition[1, 0] = np.nan
    log_prob = flow.log_prob(normal((3, 3), "float32"), condition=condition).numpy()
    np.testing.assert_array_equal(np.isnan(log_prob), [False, True, False])


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_training_on_unknown_classes_or_nan_is_an_error(name):
    model = tg.FlowModel(build(name, num_classes=3))
    model.compile("adam")
    x, classes = data(name, 8).numpy(), np.arange(8) % 3
    with pytest.raises(ValueError, match="y must hold class ids from 0 to 2"):
        model.fit(x, np.full(8, 7), verbose=0)
    with pytest.raises(ValueError, match="class ids from 0 to 2"):
        model.train_on_batch(x, classes + 1)
    model.initialize(x, classes)
    data_set = tf.data.Dataset.from_tensor_slices((x, classes + 1)).batch(4)
    with pytest.raises(ValueError, match="The loss is nan in step 1 of the epoch"):
        model.fit(data_set, verbose=0)
    x[5] = np.nan
    with pytest.raises(ValueError, match="The loss is nan in step 2 of the epoch"):
        model.fit(x, classes, batch_size=4, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="x must be finite"):
        model.initialize(x, classes, force=True)


@pytest.mark.slow
def test_a_path_that_leaves_or_breaks_off_is_nan_and_the_others_are_right():
    def network(inputs):
        x, _ = inputs
        return tf.where(x > 1.0, x**4, tf.where(x < -1.0, tf.math.log(x), 0.1 * x))

    flow = tgb.ContinuousFlow(network, tolerance=1e-4)
    x, log_det = flow.forward_and_log_det(tf.constant([[0.5], [3.0], [-2.0], [-0.5]]))
    np.testing.assert_array_equal(np.isnan(x[:, 0]), [False, True, True, False])
    np.testing.assert_array_equal(np.isnan(log_det), [False, True, True, False])
    np.testing.assert_allclose(x.numpy()[[0, 3], 0], np.exp(0.1) * np.array([0.5, -0.5]), rtol=1e-4)


def test_dequantized_refuses_floats_of_any_kind():
    distribution = tg.Dequantized(tg.Flow(tg.standard_normal(2), tgb.ActNorm(2)), num_bins=4)
    for x in (np.full((1, 2), 1.9), tf.fill((1, 2), 1.9), [[1.9, 1.0]]):
        for function in (distribution.log_prob, distribution.prob, distribution.bits_per_dim):
            with pytest.raises(TypeError, match="x must hold integers from 0 to 3"):
                function(x)


def test_data_outside_of_a_logit_have_density_zero():
    flow = flows.iresnet((4, 4, 1), levels=1, steps=1, hidden_channels=4, seed=0)
    x = np.zeros([3, 4, 4, 1], "float32")
    x[1, 0, 0, 0], x[2, 0, 0, 0] = 0.7, -3.0
    for log_prob in (flow.log_prob, tf.function(flow.log_prob)):
        values = log_prob(tf.constant(x)).numpy()
        assert np.isfinite(values[0])
        np.testing.assert_array_equal(values[1:], -np.inf)


def test_the_log_det_of_a_logit_is_exact_in_float64():
    logit = tgb.Logit(0.05, low=-0.3, high=0.9, dtype="float64")
    x = normal((100,)) / 10.0
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = logit.inverse(x)
    slope = tape.gradient(z, x)
    log_det = logit.inverse_log_det_jacobian(tf.identity(x), 0)
    np.testing.assert_allclose(log_det, np.log(slope), rtol=1e-13, atol=1e-13)


def test_nothing_has_no_density_and_no_loss():
    model = tg.FlowModel(flows.glow((4, 4, 1), levels=2, steps=1, hidden_channels=4, seed=0))
    model.compile("adam")
    nothing = np.zeros([0, 4, 4, 1], "float32")
    assert model.predict(nothing).shape == (0,)
    assert model.distribution.sample(0, seed=1).shape == (0, 4, 4, 1)
    for function in (model.evaluate, model.fit):
        with pytest.raises(ValueError, match="x must hold at least one example"):
            function(nothing)


@pytest.mark.parametrize(
    "seed", [3, np.int64(3), 2**40, -1, None, np.array([1, 2]), [1, 2], tf.constant([1, 2])]
)
def test_every_kind_of_seed(seed):
    flow = tg.Flow(tg.standard_normal(2), tgb.ActNorm(2))
    one, other = flow.sample(4, seed=seed), flow.sample(4, seed=seed)
    assert np.array_equal(one, other) == (seed is not None)


@pytest.mark.parametrize("seed", ["a", 1.5, [1, 2, 3], [0.5, 1.0]])
def test_seeds_that_are_none(seed):
    with pytest.raises(TypeError, match="seed must be an int, two ints or None"):
        tg.Flow(tg.standard_normal(2), tgb.ActNorm(2)).sample(4, seed=seed)


def test_joint_distributions_hand_their_seeds_on():
    flow = tg.Flow(tg.standard_normal(2), tgb.ActNorm(2))

    @tfd.JointDistributionCoroutineAutoBatched
    def joint():
        z = yield tfd.Normal(0.0, 1.0, name="z")
        yield flow
        yield tfd.Normal(z, 1.0, name="y")

    draws = joint.sample(3, seed=1)
    assert draws[1].shape == (3, 2)
    np.testing.assert_array_equal(joint.sample(3, seed=1)[1], draws[1])
    assert joint.log_prob(draws).shape == (3,)


def test_a_condition_that_does_not_fit_the_samples_says_how_to_draw_for_each():
    flow = flows.realnvp(3, steps=1, hidden_units=(8,), condition_size=2)
    condition = normal((7, 2), "float32")
    with pytest.raises(ValueError, match=r"sample\(\(100, 7\), condition=...\)"):
        flow.sample(100, condition=condition)
    assert flow.sample((100, 7), condition=condition).shape == (100, 7, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maf", "glow"])
def test_a_deep_copy_is_a_flow_of_its_own(name):
    flow, x = build(name), data(name)
    flow.initialize(x)
    before = flow.log_prob(x)
    copied = copy.deepcopy(flow)
    np.testing.assert_array_equal(copied.log_prob(x), before)
    randomize(copied)
    assert np.abs(copied.log_prob(x) - before).max() > 1e-2
    np.testing.assert_array_equal(flow.log_prob(tf.identity(x)), before)
    model = tg.FlowModel(copied)
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(x, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_data_of_any_kind_initialize_and_train():
    x, condition = normal((8, 3)).numpy(), normal((8, 2)).numpy()

    def generator():
        yield x[:4], condition[:4]
        yield x[4:], condition[4:]

    for arguments in ((x, condition), (generator(),)):
        flow = flows.realnvp(3, steps=1, hidden_units=(4,), condition_size=2, seed=0)
        model = tg.FlowModel(flow)
        model.compile("adam", run_eagerly=True)
        model.fit(*arguments, verbose=0)
        assert flow.initialized
    assert model.predict((x, condition), verbose=0).shape == (8,)
    fresh = tg.FlowModel(flows.realnvp(3, steps=1, hidden_units=(4,), condition_size=2, seed=0))
    fresh.compile("adam", run_eagerly=True)
    fresh.train_on_batch(x, condition)
    assert fresh.distribution.initialized


def test_metrics_are_refused():
    model = tg.FlowModel(tg.Flow(tg.standard_normal(2), tgb.ActNorm(2)))
    model.compile("adam", metrics=["mae"])
    with pytest.raises(ValueError, match="metrics compare predictions with targets"):
        model.fit(normal((4, 2), "float32"), verbose=0)


@pytest.mark.slow
def test_realnvp_of_one_level_factors_nothing_out():
    flow = flows.realnvp((4, 4, 1), levels=1, hidden_channels=4, blocks=1, seed=0)
    x = normal((2, 4, 4, 1), "float32")
    np.testing.assert_allclose(flow.decode(tf.identity(flow.encode(x))), x, atol=1e-5)
