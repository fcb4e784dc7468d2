"""Every recipe trains, conditions, saves and exports."""

import copy
import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
import tfp_glow.bijectors as tgb
from tests.helpers import normal, randomize
from tfp_glow import flows
from tfp_glow.bijectors import MarginalGaussianization
from tfp_glow.config import from_config, to_config
from tfp_glow.laws import RationalQuadraticSpline

TRANSFORMER = {"width": 8, "layers": 1, "heads": 2}
SMALL = {
    "coupling_spline": {"steps": 2, "hidden_units": (8,), "bins": 4},
    "ffjord": {"hidden_units": (8,)},
    "gaussian": {"hidden_units": ()},
    "glow": {"levels": 1, "steps": 2, "hidden_channels": 4},
    "iaf": {"steps": 2, "hidden_units": (8,)},
    "iresnet": {"steps": 2, "hidden_units": (8,)},
    "jet": {"patch_size": 2, "blocks": 2, "channel_couplings": 1, **TRANSFORMER},
    "linear": {},
    "maf": {"steps": 2, "hidden_units": (8,), "order": "random"},
    "nice": {"hidden_units": (8,), "base": "logistic"},
    "planar": {"steps": 2, "hidden_units": (8,)},
    "radial": {"steps": 2, "hidden_units": (8,)},
    "realnvp": {"steps": 2, "hidden_units": (8,)},
    "realnvp-images": {"levels": 1, "hidden_channels": 4, "blocks": 1},
    "residual_flow": {"steps": 2, "hidden_units": (8,)},
    "residual_flow-images": {"levels": 1, "steps": 1, "hidden_channels": 4, "memory_saving": True},
    "sylvester": {"steps": 2, "hidden_units": (8,)},
    "tarflow": {"width": 8, "blocks": 2, "layers": 1, "heads": 2},
    "waveglow": {"levels": 1, "steps": 2, "hidden_channels": 4, "layers": 2},
}
CONDITIONAL = [name for name in SMALL if name != "linear"]
QUICK = ("maf", "realnvp")
# The parts of the others are compiled in the contract test, and their densities in test_hostile.
COMPILED = ("maf", "residual_flow")


def mostly_slow(names) -> list:
    """Two of the flows stand for all in the quick tests."""
    return [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in names]


IMAGE = (4, 4, 1)
ON_IMAGES = ("glow", "jet", "tarflow", "waveglow")


def event_shape(name: str):
    return IMAGE if name in ON_IMAGES or name.endswith("-images") else 3


def build(name: str, **kwargs) -> tg.Flow:
    recipe = flows.RECIPES[name.removesuffix("-images")]
    if name == "ffjord" and kwargs.get("dtype") == "float64":
        kwargs["tolerance"] = 1e-10
    return recipe(event_shape(name), seed=0, **SMALL[name], **kwargs)


def data(name: str, count: int = 32, dtype: str = "float32") -> tf.Tensor:
    x = normal((count, *np.atleast_1d(event_shape(name))), dtype)
    return 0.3 * x + 0.2 * x**2 if event_shape(name) == 3 else 0.45 * tf.tanh(x)


def test_every_recipe_is_tested():
    assert {name.removesuffix("-images") for name in SMALL} == set(flows.RECIPES) - {
        *("autoregressive_prior", "conditioned", "dequantization_noise", "gaussian_base", "stack"),
        "tabular",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in SMALL if event_shape(n) != 3 or n in COMPILED])
def test_training_lowers_the_loss_and_inverts(name, tmp_path):
    """One model: fit, invert, save and load; test_densities does it with all vectors."""
    flow, x = build(name), data(name)
    model = tg.FlowModel(flow)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=name in COMPILED)
    losses = model.fit(x, batch_size=16, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    z = flow.encode(x)
    np.testing.assert_allclose(flow.decode(tf.identity(z)), x, atol=1e-4)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    with tg.evaluation():
        expected = flow.log_prob(x[:3])
        np.testing.assert_allclose(loaded.distribution.log_prob(x[:3]), expected, atol=1e-4)


@pytest.mark.parametrize("name", mostly_slow(CONDITIONAL))
def test_class_labels_change_density_and_samples(name):
    flow = build(name, num_classes=3, dtype="float64")
    randomize(flow.bijector, scale=0.1)
    x = data(name, 2, "float64")
    log_prob = np.stack([flow.log_prob(x, condition=[y, y]) for y in range(3)])
    assert np.ptp(log_prob, axis=0).min() > 1e-6
    samples = {y: flow.sample(2, seed=1, condition=[y, y]) for y in (0, 2)}
    assert np.ptp(np.stack([*samples.values()]), axis=0).max() > 1e-6
    for y, sample in samples.items():
        z = flow.encode(tf.identity(sample), [y, y])
        np.testing.assert_allclose(flow.decode(tf.identity(z), [y, y]), sample, atol=1e-8)
    with pytest.raises(ValueError, match=r"class ids from (0|-1) to 2"):
        flow.log_prob(x, condition=[0, 3])


@pytest.mark.parametrize("name", mostly_slow(CONDITIONAL))
def test_feature_vectors_change_the_density(name):
    flow = build(name, condition_size=2, dtype="float64")
    randomize(flow.bijector, scale=0.1)
    x = data(name, 2, "float64")
    one, other = (flow.log_prob(x, condition=np.full([2, 2], c)) for c in (0.0, 1.0))
    assert np.min(np.abs(one - other)) > 1e-6


@pytest.mark.parametrize(
    "name", mostly_slow(n for n in CONDITIONAL if event_shape(n) == 3 and n != "ffjord")
)
def test_outliers_stay_finite_in_deep_flows_far_from_their_start(name):
    depth = {"gaussian": {}, "nice": {"couplings": 16}}.get(name, {"steps": 10})
    flow = flows.RECIPES[name](2, seed=0, **{**SMALL[name], **depth})
    randomize(flow.bijector, scale=0.5)
    x = tf.constant([[10.0, -10.0], [-30.0, 0.0], [1.0, 1e3]])
    with tf.GradientTape() as tape:
        log_prob = flow.log_prob(x)
    assert np.isfinite(log_prob).all()
    gradients = tape.gradient(log_prob, flow.trainable_variables, unconnected_gradients="zero")
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", mostly_slow(["coupling_spline", "iaf", "maf", "nice"]))
def test_vector_flows_read_events_of_any_shape(name):
    on_vectors, shaped = (
        flows.RECIPES[name](shape, seed=0, marginal_bins=None, **SMALL[name])
        for shape in (4, (2, 2, 1))
    )
    randomize(on_vectors.bijector, scale=0.1)
    randomize(shaped.bijector, scale=0.1)
    x = normal([3, 4], "float32")
    np.testing.assert_allclose(
        shaped.log_prob(tf.reshape(x, [3, 2, 2, 1])), on_vectors.log_prob(x), atol=1e-5
    )


ON_VECTORS = ["coupling_spline", "iaf", "maf", "nice", "planar", "radial", "sylvester"]


@pytest.mark.parametrize("name", mostly_slow(ON_VECTORS))
def test_vector_flows_make_the_marginals_of_images_normal_first(name):
    flow = flows.RECIPES[name]((2, 2, 1), seed=0, **SMALL[name])
    inner = copy.deepcopy(flow.bijector).bijectors[1:]
    rest = tg.Flow(flow.distribution, tgb.Chain(inner))
    x = tf.exp(normal([50, 2, 2, 1], "float32"))
    flow.initialize(x)
    marginals = flow.bijector.bijectors[0]
    z = tf.identity(marginals.inverse(x))
    assert np.std(z) == pytest.approx(1.0, abs=0.05)
    rest.initialize(z)
    log_det = marginals.inverse_log_det_jacobian(x, 3)
    np.testing.assert_allclose(flow.log_prob(x), rest.log_prob(z) + log_det, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    mostly_slow([*ON_VECTORS, "iresnet", "realnvp", "residual_flow"]),
)
def test_a_spline_of_each_value_of_vectors_stands_first(name):
    recipe = functools.partial(flows.RECIPES[name], seed=0, **SMALL[name])

    def channels(*args, **options) -> list[int]:
        flow = recipe(*args, **options)
        inner = [flow.bijector, *getattr(flow.bijector, "bijectors", [])]
        return [b.slopes.shape[0] for b in inner if isinstance(b, MarginalGaussianization)]

    assert channels(3) == [3]
    assert channels(3, condition_size=2, marginal_bins=4) == [3]
    # What a condition leaves of a marginal may be normal already.
    without = ({"marginal_bins": None}, {"condition_size": 2}, {"num_classes": 2})
    assert not any(channels(3, **options) for options in without)
    with pytest.raises(ValueError, match="marginal_bins must be one of"):
        recipe(3, marginal_bins="automatic")


@pytest.mark.parametrize("name", mostly_slow(["coupling_spline", "iaf", "maf", "nice", "realnvp"]))
def test_a_matrix_stands_before_the_base_behind_splines_of_marginals(name):
    recipe = functools.partial(flows.RECIPES[name], seed=0, **SMALL[name])
    # With fewer values the steps of coupling splines have matrices of their own.
    size = 16 if name == "coupling_spline" else 3

    def has_matrix(event_shape, **options) -> bool:
        last = recipe(event_shape, **options).bijector.bijectors[-1]
        return isinstance(last, tgb.Invertible1x1Conv)

    assert has_matrix(size)
    assert not has_matrix(size, marginal_bins=None)
    assert not has_matrix(size, condition_size=2)
    assert has_matrix(1024)
    assert not has_matrix(1025)
    if name in ("iaf", "maf"):
        assert not has_matrix(1)
    if name != "realnvp":
        assert has_matrix((size, 2))
        assert not has_matrix((size, 2, 1))


@pytest.mark.parametrize("recipe", ["coupling_spline", "maf", "iaf"])
def test_steps_of_splines_have_a_spline_of_each_value(recipe):
    law = {"bins": 4} if recipe == "coupling_spline" else {"law": RationalQuadraticSpline(4)}
    build = functools.partial(flows.RECIPES[recipe], 3, steps=2, hidden_units=(8,), seed=0)

    def slopes(**options) -> int:
        variables = build(**law | options).trainable_variables
        return sum(math.prod(v.shape) for v in variables if "slopes" in v.name)

    assert slopes() == 3 * 33 + 2 * 3 * 5
    assert slopes(marginal_bins=None) == slopes(condition_size=2) == 0


def test_a_spline_by_name_acts_closer_behind_those_of_each_value():
    def log_prob(law, **options):
        flow = flows.maf(3, steps=2, hidden_units=(8,), law=law, seed=0, **options)
        randomize(flow.bijector)
        return flow.log_prob(normal((9, 3), "float32") * 2.0)

    near, far = RationalQuadraticSpline(bound=3.0), RationalQuadraticSpline(bound=4.0)
    np.testing.assert_array_equal(log_prob("spline"), log_prob(near))
    # As version 0.1.0 had it.
    without = {"marginal_bins": None}
    np.testing.assert_array_equal(log_prob("spline", **without), log_prob(far, **without))


def test_steps_of_other_laws_have_no_splines():
    flow = flows.maf(3, steps=2, hidden_units=(8,), seed=0)
    assert sum("slopes" in v.name for v in flow.trainable_variables) == 1


def test_the_splines_of_vectors_begin_as_what_a_small_batch_tells():
    x = np.random.default_rng(0).exponential(size=[20, 3]).astype("float32")
    flow = flows.maf(3, steps=1, hidden_units=(4,), seed=0)
    flow.initialize(x)
    knots = flow.bijector.bijectors[0].knots[0].numpy()
    ends = np.quantile(x, [0.0, 0.5, 1.0], axis=0)
    np.testing.assert_allclose(knots[:, [0, 16, 32]].T, ends, rtol=1e-4)


def test_a_gaussian_base_starts_a_flow_where_its_condition_says():
    flow = flows.planar(3, steps=2, hidden_units=(), condition_size=2, seed=0, dtype="float64")
    randomize(flow.bijector)
    whole = flows.gaussian_base(flow, seed=1)
    base = whole.bijector.bijectors[1]
    randomize(base)
    condition, noise = normal([4, 2], seed=1), normal([4, 3], seed=2)
    mean, raw = tf.split(base._network(condition), 2, -1)
    z = base.mean + mean + tf.exp(7.0 * tf.tanh((base.raw + raw) / 7.0)) * noise
    np.testing.assert_allclose(whole.decode(noise, condition), flow.decode(z, condition))
    x = tf.identity(whole.decode(noise, condition))
    np.testing.assert_allclose(whole.encode(x, condition), noise, atol=1e-8)
    assert flows.gaussian_base(flows.realnvp(4), condition_size=5).condition_shape == (5,)


def test_realnvp_on_images_has_the_published_layers():
    flow = flows.realnvp((8, 8, 3), levels=2, hidden_channels=4, blocks=1, seed=0)
    assert flow.bijector.level_shapes == ((4, 4, 6), (4, 4, 6))
    first, last = flow.bijector._blocks
    kinds = [type(part).__name__ for part in first.bijectors]
    assert kinds == ["MarginalGaussianization", *["Chain"] * 3, "Squeeze", *["Chain"] * 3]
    assert len(last.bijectors) == 4
    randomize(flow.bijector, scale=0.1)
    x = normal((2, 8, 8, 3), "float32")
    np.testing.assert_allclose(flow.decode(tf.identity(flow.encode(x))), x, atol=1e-4)


def test_numbers_of_numpy_are_numbers():
    flow = flows.realnvp(np.prod([2, 2]), steps=np.int64(1), hidden_units=(4,), seed=np.int32(0))
    assert flow.event_shape == (4,)
    assert flow.recipe["arguments"]["event_shape"] == 4
    assert not {"levels", "hidden_channels", "blocks"} & set(flow.recipe["arguments"])


def test_files_whose_recipes_hold_what_is_of_other_events_load():
    """As those of version 0.1.0 do, which held all arguments."""
    config = to_config(flows.realnvp(2, steps=1, hidden_units=(4,), seed=0))
    flow = from_config({**config, "arguments": {**config["arguments"], "levels": 3, "blocks": 5}})
    assert to_config(flow) == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: flows.nice(1), "event_shape must have at least 2 values"),
        (lambda: flows.nice(4, couplings=0), "couplings must be at least 1"),
        (lambda: flows.nice(4, base="uniform"), "base must be"),
        (lambda: flows.realnvp((5, 4, 1), levels=2), "divisible by 2"),
        (lambda: flows.realnvp((4, 4)), r"must be \(H, W, C\)"),
        (lambda: flows.realnvp(2, levels=3), "levels is of images alone.*event_shape=2"),
        (lambda: flows.realnvp((4, 4, 1), steps=8), "steps is of vectors alone"),
        (lambda: flows.iresnet(2, hidden_channels=4, alpha=None), "alpha, hidden_channels is of"),
        (lambda: flows.residual_flow((4, 4, 1), hidden_units=(4,)), "hidden_units is of vectors"),
        (lambda: flows.coupling_spline(2, bins=1), "bins must be at least 2"),
        (lambda: flows.coupling_spline(()), "event_shape"),
        (lambda: flows.gaussian_base(flows.glow((4, 4, 1), levels=1)), "condition_size must be"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
