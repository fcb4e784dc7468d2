"""WaveGlow and its network: exact densities of sequences."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import jacobian_log_det, normal, randomize
from tfp_glow import flows
from tfp_glow.networks import WaveNet

SMALL = {"levels": 2, "steps": 2, "hidden_channels": 4, "layers": 3}


def test_the_network_is_dilated_convolutions_of_keras():
    network = WaveNet(
        3, hidden_channels=4, layers=3, inputs=(8, 2), condition_size=5, seed=0, dtype="float64"
    )
    generator = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(generator.standard_normal(variable.shape))
    x, condition = normal([2, 8, 2]), normal([2, 5])
    hidden, skipped = network.first(x), 0.0
    for index, conv in enumerate(network.convolutions):
        kernel = tf.reshape(conv.kernel.value, [3, 4, 8])
        rows = [tf.nn.conv1d(h[tf.newaxis], kernel, 1, "SAME", dilations=2**index) for h in hidden]
        gates = tf.concat(rows, 0) + conv.bias
        gates += (condition @ network.embeddings[index].kernel)[:, tf.newaxis]
        mixed = network.mixes[index](tf.tanh(gates[..., :4]) * tf.sigmoid(gates[..., 4:]))
        hidden, skipped = hidden + mixed[..., :4], skipped + mixed[..., 4:]
    expected = network.last(skipped)
    np.testing.assert_allclose(network([x, condition]), expected, atol=1e-10)
    np.testing.assert_allclose(
        network([x[:, tf.newaxis], condition[:, tf.newaxis]])[:, 0], expected, atol=1e-10
    )
    short = WaveNet(1, hidden_channels=2, layers=3, inputs=(2, 1))
    assert short.dilations == [1, 1, 1]
    again = WaveNet.from_config(network.get_config())
    assert [v.shape for v in again.variables] == [v.shape for v in network.variables]


@pytest.mark.slow
def test_densities_are_exact():
    """Of an event that is read as 8 times 2 values."""
    flow = flows.waveglow((8, 2, 1), **SMALL, seed=0, dtype="float64")
    x = normal((4, 8, 2, 1))
    flow.initialize(x)
    randomize(flow.bijector)
    z, log_det = flow.bijector.inverse_and_log_det(x)
    np.testing.assert_allclose(flow.decode(tf.identity(z)), x, atol=1e-10)
    expected = jacobian_log_det(flow.encode, x[0])
    np.testing.assert_allclose(log_det[0], expected, atol=1e-8)


def test_the_first_level_squeezes_pairs_of_times():
    flow = flows.waveglow((8, 3), **SMALL, seed=0)
    assert flow.bijector.level_shapes == ((4, 3), (2, 6))
    squeeze = flow.bijector._blocks[0].bijectors[0]
    x = normal([1, 8, 3], "float32")
    np.testing.assert_array_equal(squeeze.inverse(x)[0, 1], tf.reshape(x[0, 2:4], [-1]))


@pytest.mark.slow
def test_compiled_gradients_of_rebuilt_activations_are_right():
    """By XLA, which compiles no gradient of a dense layer on sequences in a loop."""
    x, classes, found = normal([3, 4, 2]), tf.constant([0, 1, 2]), []
    for options in ({"unroll": True}, {"reversible": True}):
        small = {"levels": 1, "steps": 2, "hidden_channels": 4, "layers": 2}
        flow = flows.waveglow((4, 2), **small, **options, num_classes=3, seed=0, dtype="float64")
        randomize(flow.bijector)

        def loss(x, flow=flow):
            with tf.GradientTape() as tape:
                value = tf.reduce_mean(flow.log_prob(x, condition=classes))
            return value, tape.gradient(value, flow.trainable_variables)

        spec = [tf.TensorSpec([None, 4, 2], tf.float64)]
        compiled = tf.function(loss, input_signature=spec, jit_compile=True)
        value, gradients = loss(x) if "unroll" in options else compiled(x)
        found.append([value, *(tf.reduce_sum(tf.square(g)) for g in gradients)])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: flows.waveglow((8,)), r"event_shape must be \(T, C\)"),
        (lambda: flows.waveglow((12, 1), levels=3), "divisible by 8"),
        (lambda: flows.waveglow((8, 1), layers=0), "layers must be at least 1"),
        (lambda: flows.waveglow((8, 1), num_classes=2, condition_size=1), "exclude each other"),
        (lambda: WaveNet(0, hidden_channels=2, layers=1, inputs=(8, 1)), "outputs"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
