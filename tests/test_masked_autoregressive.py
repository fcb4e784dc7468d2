"""Generating value by value, against the plain loop of whole passes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.helpers import jacobian_log_det, normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow.laws import get_law
from tfp_glow.networks import MADE

BLOCKS = 40  # More values than one block takes.


def masked(size=5, *, law="affine_exp", reach=None, dtype="float64", **options):
    parameters = get_law(law).parameters_per_channel or 2
    options = {"hidden_units": (7, 9), "activation": "tanh", "order": "random", **options}
    condition_size = options.get("condition_size")
    bijector = tgb.MaskedAutoregressive(
        MADE(size, outputs=size * parameters, seed=0, dtype=dtype, **options),
        law=law,
        condition_shape=None if condition_size is None else (condition_size,),
        reach=reach,
        dtype="float64" if dtype == "float64" else "float32",
    )
    randomize(bijector)
    return bijector


def plain(bijector):
    """The whole network for each value."""

    def forward(z, condition=None):
        x = tf.zeros_like(z)
        for _ in range(z.shape[-1]):
            x, log_det = bijector._law.forward(z, bijector._parameters_of_law(x, condition))
        return x, tf.reduce_sum(log_det, -1)

    return forward


def value_and_gradients(forward, variables, *inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        x, log_det = forward(*inputs)
        weights = tf.range(1, tf.shape(x)[0] + 1)
        loss = tf.reduce_sum(tf.sin(x)) + tf.reduce_sum(log_det * tf.cast(weights, x.dtype))
    return [x, log_det, *tape.gradient(loss, [*inputs, *variables])]


def assert_close(found, expected, **tolerance):
    tolerance = tolerance or {"rtol": 1e-10, "atol": 1e-10}
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def affine(raw):
    scale, shift = tf.split(raw, 2, axis=-1)
    return tfp.bijectors.Chain([tfp.bijectors.Shift(shift), tfp.bijectors.Scale(1.5 + scale**2)])


VARIANTS = {
    "one value": {"size": 1, "condition_size": 2},
    "more degrees than units": {"size": 7, "hidden_units": (3,), "order": "forward"},
    "residual, spline": {
        "law": "spline",
        "condition_size": 2,
        "residual": True,
        "hidden_units": (7, 7, 7),
        "reach": 0.5,
    },
    "degrees from 0": {"law": "additive", "degrees_from": 0, "order": "reverse"},
    "a law of unknown size": {"law": affine},
    "blocks": {"size": BLOCKS, "hidden_units": (30, 50), "condition_size": 2},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_values_and_all_gradients_are_those_of_whole_passes(options):
    bijector = masked(**options)
    inputs = [normal([3, options.get("size", 5)])]
    if "condition_size" in options:
        inputs.append(normal([3, 2], seed=1))
    variables = bijector.trainable_variables
    found = value_and_gradients(bijector.forward_and_log_det, variables, *inputs)
    assert_close(found, value_and_gradients(plain(bijector), variables, *inputs))


@pytest.mark.slow
def test_blocks_compile_for_any_batch():
    bijector = masked(BLOCKS, hidden_units=(30,))
    variables = bijector.trainable_variables
    spec = tf.TensorSpec([None, BLOCKS], "float64")

    @tf.function(input_signature=[spec], jit_compile=True, autograph=False)
    def run(z):
        return value_and_gradients(bijector.forward_and_log_det, variables, z)

    z = normal([3, BLOCKS])
    assert_close(run(z), value_and_gradients(plain(bijector), variables, z))


def test_blocks_are_exported_and_have_the_jacobian_s_log_det(tmp_path):
    bijector = masked(BLOCKS, hidden_units=(30,), law="affine_softsign", reach=1.0)
    spec = tf.TensorSpec([None, BLOCKS], "float64")
    bijector.run = tf.function(bijector.forward_and_log_det, input_signature=[spec])
    tf.saved_model.save(bijector, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    run = loaded.run
    z = normal([3, BLOCKS])
    x, log_det = run(z)
    assert_close([x, log_det], plain(bijector)(z))
    np.testing.assert_allclose(log_det[0], jacobian_log_det(lambda z: run(z)[0], z[0]), rtol=1e-9)
    np.testing.assert_allclose(bijector.inverse(tf.identity(x)), z, atol=1e-12)
    assert run(z[:0])[0].shape == (0, BLOCKS)
    inverted = tgb.Invert(bijector)
    np.testing.assert_allclose(inverted.inverse_log_det_jacobian(z, 1), log_det, rtol=1e-12)
    broken = tf.where(tf.range(3)[:, tf.newaxis] == 1, np.nan, z)
    np.testing.assert_array_equal(np.isnan(run(broken)[0]).any(-1), [False, True, False])
    np.testing.assert_allclose(run(broken)[0].numpy()[[0, 2]], x.numpy()[[0, 2]], rtol=1e-12)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_networks_of_lower_precision(policy):
    """What they round to differs where sums are added up in another order."""
    bijector = masked(6, dtype=policy)
    z = normal([50, 6], "float32")
    x, log_det = bijector.forward_and_log_det(z)
    error = {"float32": 1e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 1e-1}[policy]
    assert_close([x, log_det], plain(bijector)(z), atol=error, rtol=error)
    assert x.dtype == log_det.dtype == tf.float32


@pytest.mark.parametrize("reversible", [False, True])
def test_repeated_steps(reversible):
    def make():
        return masked(5, hidden_units=(7,), condition_size=2)

    loop, chain = tgb.Repeat(make, 2, reversible=reversible), tgb.Repeat(make, 2, unroll=True)
    randomize(loop)
    for own, other in zip(chain.variables, loop.variables, strict=True):
        own.assign(other)
    inputs = normal([3, 5]), normal([3, 2], seed=1)
    found, expected = (
        value_and_gradients(repeat.forward_and_log_det, repeat.trainable_variables, *inputs)
        for repeat in (loop, chain)
    )
    assert_close(found, expected)


class Counted(keras.layers.Layer):
    """Another network than a MADE, which counts its evaluations."""

    def __init__(self, size: int, distance: int):
        super().__init__(dtype="float64")
        kernel = np.eye(size, k=distance)
        kernel[distance:] *= distance == 1  # Else all read values that read nothing.
        self.calls = 0
        self.kernel = self.add_weight(shape=[size, size], name="kernel")
        self.kernel.assign(kernel)
        self.built = True

    def call(self, x):
        self.calls += 1
        read = tf.sin(x @ self.kernel)
        return tf.concat([read, 0.5 * read], -1)


@pytest.mark.parametrize(("distance", "most"), [(1, 9), (6, 5)], ids=["a chain", "one step deep"])
def test_other_networks_are_evaluated_until_the_values_stay(distance, most):
    network = Counted(8, distance)
    bijector = tgb.MaskedAutoregressive(network, dtype="float64")
    z, network.calls = normal([3, 8]), 0
    x, log_det = bijector.forward_and_log_det(z)
    assert network.calls <= most
    expected = plain(bijector)(z)
    np.testing.assert_array_equal(x, expected[0])
    np.testing.assert_array_equal(log_det, expected[1])
    variables = bijector.trainable_variables
    found = value_and_gradients(bijector.forward_and_log_det, variables, tf.zeros_like(z))
    assert_close(found, value_and_gradients(plain(bijector), variables, tf.zeros_like(z)))


def test_second_derivatives_over_other_networks_are_refused():
    bijector, z = tgb.MaskedAutoregressive(Counted(3, 1), dtype="float64"), normal([2, 3])
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            x = bijector.forward(z)
        slope = inner.gradient(x, z)
    with pytest.raises(NotImplementedError, match="has first derivatives alone"):
        outer.gradient(slope, z)


class Doubled(MADE):
    """Computes something that `MADE.one_by_one` knows nothing of."""

    def call(self, inputs):
        return 2.0 * super().call(inputs)


def test_a_subclass_of_made_is_evaluated_as_it_is():
    network = Doubled(3, hidden_units=(8,), seed=0, dtype="float64")
    bijector, z = tgb.MaskedAutoregressive(network, dtype="float64"), normal([2, 3])
    np.testing.assert_allclose(bijector.inverse(tf.identity(bijector.forward(z))), z, atol=1e-12)


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"has 5 inputs. Received: values of shape \(2, 6\)"):
        masked().forward(normal([2, 6]))
    bijector = tgb.MaskedAutoregressive(MADE(5, outputs=5), law="affine")
    with pytest.raises(ValueError, match="must give 2 channels"):
        bijector.forward(normal([2, 5], "float32"))
    bijector = tgb.MaskedAutoregressive(MADE(5, outputs=5), law=ScaledByChannel())
    with pytest.raises(ValueError, match="must do the same to every channel"):
        bijector.forward(normal([2, 5], "float32"))


class ScaledByChannel:
    parameters_per_channel = 1

    def forward(self, z, raw):
        return tf.range(1.0, 6.0) * z + raw, tf.zeros_like(z)

    def inverse(self, x, raw):
        return (x - raw) / tf.range(1.0, 6.0), tf.zeros_like(x)
