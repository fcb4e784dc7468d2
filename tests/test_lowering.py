"""Every form of a convolution gives the convolution's values and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import normal
from tfp_glow.core.modes import lower_for
from tfp_glow.networks.lowering import convolve


@pytest.mark.parametrize("backend", ["cpu", "cpu_xla", "accelerator"])
@pytest.mark.parametrize("shape", [(1, 1, 4, 3), (3, 3, 2, 5), (3, 3, 20, 2), (3, 3, 4, 4)])
def test_forms_agree(backend, shape):
    x, kernel = normal([2, 5, 4, shape[2]]), normal(shape)

    def run(function):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = function(x, kernel)
            loss = tf.reduce_sum(tf.sin(y))
        return y, *tape.gradient(loss, [x, kernel])

    expected = run(lambda x, kernel: tf.nn.conv2d(x, kernel, strides=1, padding="SAME"))
    with lower_for(backend):
        actual = run(convolve)
    for mine, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-10)


def test_compiled_code_on_a_cpu_has_no_convolution():
    @tf.function(jit_compile=True)
    def run(x, kernel):
        return convolve(x, kernel)

    arguments = normal([2, 4, 4, 2], "float32"), normal([3, 3, 2, 6], "float32")
    graph = run.get_concrete_function(*arguments).graph
    assert "Conv2D" not in {op.type for op in graph.get_operations()}
