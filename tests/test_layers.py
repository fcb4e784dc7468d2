"""Keras layers around reversible units and bijectors."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow.layers import Bijective, Reversible
from tfp_glow.networks import PreactivationConvs, SelfAttention, TokenMLP

tfb = tfp.bijectors


def convs(dtype: str = "float64", **options) -> PreactivationConvs:
    return PreactivationConvs((3, 2), seed=3, dtype=dtype, **options)


def image_layer(dtype: str = "float64", **options) -> Reversible:
    """Batch normalization within."""
    return Reversible(convs(dtype), convs(dtype), dtype=dtype, **options)


def token_layer(dtype: str = "float64", **options) -> Reversible:
    """Dropout and stochastic depth within."""
    dropped = {"dropout": 0.3, "drop_path": 0.3, "dtype": dtype}
    f, g = SelfAttention(2, seed=1, **dropped), TokenMLP(expansion=2, seed=2, **dropped)
    return Reversible(f, g, dtype=dtype, **options)


LAYERS = {"images": (image_layer, (4, 4, 4)), "tokens": (token_layer, (5, 8))}


def train(layer: Reversible, x, steps: int, *, jit_compile: bool, weights=None) -> list:
    """Steps of gradient descent, and what the last one computed."""
    layer(x)
    if weights is None:
        randomize(layer)
    for variable, value in zip(layer.variables, weights or layer.variables, strict=True):
        variable.assign(value)
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(layer.trainable_variables)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_mean(tf.reduce_sum(tf.sin(y), -1))
        variables = layer.trainable_variables
        gradients = tape.gradient(loss, [x, *variables])
        optimizer.apply_gradients(zip(gradients[1:], variables, strict=True))
        return y, *gradients

    for _ in range(steps):
        last = step()
    return [*last, *layer.variables]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "jit_compile"),
    [("images", False), ("tokens", False), ("tokens", True)],
)
def test_gradients_and_state_equal_those_of_the_stored_network(name, jit_compile):
    """Batch normalization moves on once a step, and dropout draws the same numbers again."""
    make, shape = LAYERS[name]
    x = normal((6, *shape))
    stored, rebuilt = (
        train(make(depth=3, store_activations=stored), x, 3, jit_compile=jit_compile)
        for stored in (True, False)
    )
    for one, other in zip(stored, rebuilt, strict=True):
        one, other = np.asarray(one, "float64"), np.asarray(other, "float64")
        scale = max(np.abs(one).max(), 1e-6)
        np.testing.assert_allclose(other / scale, one / scale, atol=1e-10)


@pytest.mark.slow
def test_gradients_in_float32_after_a_hundred_steps():
    make, shape = LAYERS["tokens"]
    x = normal((6, *shape), "float32")
    layer = make("float32", depth=4)
    train(layer, x, 100, jit_compile=False)
    stored = make("float32", depth=4, store_activations=True)
    results = []
    weights = [np.array(v) for v in layer.variables]
    for one in (stored, layer):
        results.append(train(one, x, 1, jit_compile=False, weights=weights))
    for one, other in zip(*results, strict=True):
        scale = max(np.abs(np.asarray(one, "float64")).max(), 1e-6)
        np.testing.assert_allclose(np.asarray(other) / scale, np.asarray(one) / scale, atol=1e-3)


@pytest.mark.slow
def test_statistics_after_fifty_steps_equal_those_of_the_stored_network():
    """In float32, whose rounding is all that tells the two trainings apart."""
    x, statistics = normal((6, 4, 4, 4), "float32") + 1.0, []
    for stored in (True, False):
        f, g = (PreactivationConvs((2,), kernel_sizes=(3,), dtype="float32") for _ in "fg")
        layer = Reversible(f, g, depth=2, store_activations=stored)
        train(layer, x, 50, jit_compile=False)
        statistics.append([v.numpy() for v in layer.non_trainable_variables])
    assert len(statistics[0]) == 4  # Means and variances of f and of g.
    for one, other in zip(*statistics, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6)


def test_statistics_move_once_a_step_as_batch_normalization_says():
    layer, x = image_layer(depth=2), normal((5, 4, 4, 4)) + 2.0
    layer(x)
    randomize(layer)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, layer.trainable_variables)

    step()
    means = next(v for v in layer.variables if "moving_mean" in v.path)
    expected = 0.1 * np.mean(x[..., 2:], axis=(0, 1, 2))  # f of the first unit sees x2.
    np.testing.assert_allclose(means[0], expected, rtol=1e-12)
    assert np.abs(means[1]).max() > 0
    before = [np.array(v) for v in layer.variables]
    layer(x), layer(x, training=False), layer.invert(layer(x))
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_the_units_compute_what_the_paper_says():
    f, g = (keras.layers.Dense(2, name, dtype="float64") for name in ("tanh", "sigmoid"))
    layer = Reversible(f, g, depth=2, dtype="float64")
    x = normal((3, 4))
    y = layer(x).numpy()
    kernels_f, biases_f, kernels_g, biases_g = (np.array(v) for v in layer.variables)
    x1, x2 = np.split(x.numpy(), 2, -1)
    for unit in range(2):
        x1 = x1 + np.tanh(x2 @ kernels_f[unit] + biases_f[unit])
        x2 = x2 + 1 / (1 + np.exp(-(x1 @ kernels_g[unit] + biases_g[unit])))
    np.testing.assert_allclose(y, np.concatenate([x1, x2], -1), atol=1e-12)
    np.testing.assert_allclose(layer.invert(y), x, atol=1e-12)
    assert np.abs(kernels_f[0] - kernels_f[1]).max() > 0


def test_seeds_make_units_that_differ_and_come_again():
    kernels = []
    for _ in range(2):
        layer = image_layer(depth=2)
        layer.build((None, 4, 4, 4))
        kernels.append([np.array(v) for v in layer.variables if "kernel" in v.path and np.any(v)])
    for one, again in zip(*kernels, strict=True):
        np.testing.assert_array_equal(one, again)
        assert np.abs(one[0] - one[1]).max() > 0.01


@pytest.mark.slow
def test_nothing_is_stored_in_the_loop_for_the_gradient():
    def pushes(store_activations: bool) -> int:
        layer, x = image_layer(depth=3, store_activations=store_activations), normal((2, 4, 4, 4))
        layer(x)

        @tf.function
        def gradients():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x, training=True))
            return tape.gradient(loss, layer.trainable_variables)

        library = gradients.get_concrete_function().graph.as_graph_def().library
        return sum(n.op == "TensorListPushBack" for f in library.function for n in f.node_def)

    assert pushes(True) > 10
    assert pushes(False) == 0


@pytest.fixture(scope="module")
def functional() -> keras.Model:
    """A functional model of one's own, with layers of Keras before and behind."""
    f = keras.Sequential(
        [
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1)),
        ]
    )
    g = keras.Sequential([keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2)])
    g.add(keras.layers.Dense(3))
    inputs = keras.Input([4])
    x = Reversible(f, g, depth=3, name="stack")(keras.layers.Dense(6)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    model.fit(x, np.sin(x[:, :2]), epochs=2, batch_size=16, verbose=0)
    return model


def test_a_layer_is_built_by_its_first_batch():
    f, g = keras.layers.Dense(2), keras.layers.Dense(2)
    model = keras.Sequential([Reversible(f, g, depth=2), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones([4, 4], "float32"), np.ones([4, 1], "float32"), verbose=0)
    assert len(model.trainable_variables) == 6


@pytest.mark.slow
def test_a_functional_model_is_saved_and_loaded(functional, tmp_path):
    x = normal((5, 4), "float32").numpy()
    functional.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), functional.predict(x, verbose=0))
    loaded.fit(x, np.zeros([5, 2]), verbose=0)
    functional.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(x), functional.predict(x, verbose=0), atol=1e-5)


def test_regularizers_are_summed_over_the_units(functional):
    kernels = next(v for v in functional.get_layer("stack").variables if v.regularizer)
    np.testing.assert_allclose(sum(functional.losses), 0.1 * np.sum(np.square(kernels)), rtol=1e-5)


def test_a_frozen_layer_is_in_evaluation():
    layer, x = image_layer(depth=2), normal((3, 4, 4, 4))
    layer(x)
    randomize(layer)
    expected = layer(x, training=False)
    layer.trainable = False
    assert not layer.trainable_variables
    np.testing.assert_allclose(layer(x, training=True), expected)
    layer.trainable = True
    means = next(v for v in layer.variables if "moving_mean" in v.path)
    before = np.array(means)
    assert np.abs(layer(x, training=True) - expected).max() > 1e-3
    assert np.abs(means - before).min() > 0
    assert not Reversible.from_config({**layer.get_config(), "trainable": False}).trainable


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_networks_in_half_precision_keep_the_streams_in_float32(policy):
    layer, x = image_layer(policy, depth=3), normal((3, 4, 4, 4), "float32")
    layer = Reversible.from_config({**layer.get_config(), "dtype": "float32"})
    layer(x)
    randomize(layer)
    y = layer(tf.cast(x, "float16"))
    assert y.dtype == "float32"
    assert {v.dtype for v in layer.trainable_variables} == {"float32"}
    np.testing.assert_allclose(layer.invert(layer(x)), x, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Reversible(abs, convs(), depth=1), TypeError, "f must be a Keras layer"),
        (lambda: image_layer(depth=0), ValueError, "depth must be at least 1"),
        (lambda: image_layer(depth=1)(normal((2, 4, 4, 3))), ValueError, "can be halved"),
        (lambda: image_layer(depth=1)(normal((2, 4, 4, 6))), ValueError, "f must keep the shape"),
        (
            lambda: Reversible(convs(), convs(strides=2), depth=1)(normal((2, 4, 4, 4))),
            ValueError,
            r"g must keep the shape of one half, \(4, 4, 2\)",
        ),
        (
            lambda: Reversible(built(), convs(), depth=1),
            ValueError,
            "f must not be built",
        ),
        (
            lambda: Reversible(
                keras.layers.Dense(2, activity_regularizer="l2"), keras.layers.Dense(2), depth=1
            )(normal((2, 4))),
            ValueError,
            "f must have no activity_regularizer",
        ),
        (lambda: Bijective(abs), TypeError, "bijector must be a tfb.Bijector"),
        (
            lambda: Bijective(tgb.GaussianPrior(2, num_classes=2)),
            ValueError,
            "bijector must take no condition",
        ),
        (lambda: SelfAttention(3)(normal((1, 2, 4))), ValueError, "heads must divide"),
        (lambda: PreactivationConvs((2, 3, 4)), ValueError, "kernel_sizes must have one size"),
        (lambda: PreactivationConvs((2, 3), zero_last=0), TypeError, "zero_last must be"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def built() -> keras.Model:
    return keras.Sequential([keras.Input([2]), keras.layers.Dense(2)])


def test_a_bijector_as_a_layer(tmp_path):
    bijector = tgb.Chain([tgb.Squeeze(2), tgb.ActNorm(4), tgb.Invertible1x1Conv(4, seed=0)])
    randomize(bijector)
    inputs = keras.Input([4, 4, 1])
    layer = Bijective(bijector)
    model = keras.Model(inputs, keras.layers.Flatten()(layer(inputs)))
    assert len(model.trainable_variables) == len(bijector.trainable_variables)
    x = normal((3, 4, 4, 1), "float32")
    np.testing.assert_allclose(layer(x), bijector.inverse(x), atol=1e-6)
    np.testing.assert_allclose(layer.invert(layer(x)), x, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_bijector_of_tfp_as_a_layer():
    layer = Bijective(tfb.Scale(tf.Variable(2.0)))
    np.testing.assert_allclose(layer(tf.constant([[4.0]])), [[2.0]])
    assert len(layer.trainable_variables) == 1


def test_residual_blocks_are_no_layers():
    with pytest.raises(ValueError, match="changes once a training step"):
        Bijective(tgb.ResidualBlock(tg.networks.LipschitzMLP(2)))


def normalized_coupling(wrap=lambda coupling: coupling):
    network = keras.Sequential(
        [keras.Input([2]), keras.layers.BatchNormalization(), keras.layers.Dense(4)]
    )
    return wrap(tgb.Coupling(network))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        functools.partial(tgb.Repeat, normalized_coupling, 2),
        functools.partial(tgb.Repeat, normalized_coupling, 2, reversible=True),
        functools.partial(normalized_coupling, tgb.Recompute),
        lambda: tgb.Recompute(tgb.Repeat(normalized_coupling, 2)),
        lambda: tgb.Repeat(lambda: tgb.Repeat(normalized_coupling, 2), 2, reversible=True),
    ],
)
def test_batch_normalization_in_a_flow_moves_on_once_a_step(make):
    bijector = make()
    model = tg.FlowModel(tg.Flow(tg.standard_normal(4), bijector))
    model.compile(keras.optimizers.SGD(0.0))
    x = normal((8, 4), "float32").numpy() + 3.0
    model.fit(x, batch_size=8, epochs=2, verbose=0)
    means = [v for v in bijector.keras_variables if "moving_mean" in v.path]
    kept = np.mean(x[:, :2], 0)
    first = np.reshape(means[0], [-1, 2])[0]
    np.testing.assert_allclose(first, (1 - 0.99**2) * kept, rtol=1e-5)


@pytest.mark.slow
def test_batch_normalization_in_a_continuous_flow_is_refused_in_training():
    inputs = [keras.Input([2]), keras.Input([1])]
    normalized = keras.layers.BatchNormalization()(inputs[0])
    field = keras.Model(inputs, keras.layers.Dense(2)(normalized))
    model = tg.FlowModel(tg.Flow(tg.standard_normal(2), tgb.ContinuousFlow(field)))
    model.compile("sgd")
    x = np.ones([4, 2], "float32")
    assert np.isfinite(model.predict(x, verbose=0)).all()
    with pytest.raises(ValueError, match=r"changed its variable .*moving_mean"):
        model.fit(x, verbose=0)
