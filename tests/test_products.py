"""Products whose inverse a flow computes are precise where hardware multiplies in bfloat16."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal
from tfp_glow.core import products
from tfp_glow.core.modes import lower_for
from tfp_glow.core.products import multiply_precisely
from tfp_glow.core.shapes import multiply_last


def _in_bfloat16(value, matrix):
    """`multiply_last` of rounded factors, added up in float32, as accelerators do it."""
    return multiply_last(*(tf.cast(tf.cast(a, tf.bfloat16), tf.float32) for a in (value, matrix)))


@pytest.fixture
def accelerator(monkeypatch):
    """Traces as for an accelerator, whose products are this machine's of rounded factors."""
    monkeypatch.setattr(products, "multiply_last", _in_bfloat16)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    with lower_for("accelerator"):
        yield


def _values_and_gradients(function, value, matrix):
    with tf.GradientTape() as tape:
        tape.watch([value, matrix])
        product = function(value, matrix)
        loss = tf.reduce_sum(tf.sin(product))
    return product, *tape.gradient(loss, [value, matrix])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_values_are_those_of_float32(accelerator, jit_compile):
    factors = normal([5, 3, 24], "float32"), normal([24, 24], "float32", seed=1)
    exact = _values_and_gradients(multiply_last, *(tf.cast(f, tf.float64) for f in factors))
    run = tf.function(_values_and_gradients, jit_compile=jit_compile)
    product, *gradients = run(multiply_precisely, *factors)
    np.testing.assert_allclose(product, exact[0], atol=5e-6)
    # The emulation does round.
    assert np.abs(run(_in_bfloat16, *factors)[0] - exact[0].numpy()).max() > 0.01
    # Of gradients that arrive, the hardware rounds the factors.
    for gradient, truth in zip(gradients, exact[1:], strict=True):
        np.testing.assert_allclose(gradient, truth, atol=0.01 * np.abs(truth).max())


@pytest.mark.parametrize("parameterization", ["lu", "plain"])
def test_mixing_comes_back(accelerator, parameterization):
    mixing = tg.bijectors.Invertible1x1Conv(24, parameterization=parameterization, seed=0)
    for index, variable in enumerate(mixing.trainable_variables):
        variable.assign_add(0.1 * normal(variable.shape, "float32", seed=index))
    x = normal([4, 24], "float32")
    back = mixing.forward(tf.identity(mixing.inverse(x)))
    np.testing.assert_allclose(back, x, atol=1e-5)


def test_one_product_is_left_where_tensorflow_is_told_to_multiply_float32(accelerator):
    factors = normal([5, 24], "float32"), normal([24, 24], "float32", seed=1)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    product = multiply_precisely(*factors)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    np.testing.assert_array_equal(product, _in_bfloat16(*factors))
