"""TFP's own flows over Keras 3 networks, in one chain with ours."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal
from tfp_glow import bijectors as tgb

tfb = tfp.bijectors
pytestmark = pytest.mark.slow


def dense(units: int, inputs: int) -> keras.Sequential:
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(units)]
    return keras.Sequential([keras.Input([inputs]), *layers])


def real_nvp() -> tfb.Bijector:
    network = dense(4, 2)
    function = tg.Tracked(lambda x, units: tf.split(network(x), 2, -1), [network])
    return tfb.RealNVP(num_masked=2, shift_and_log_scale_fn=function)


def maf() -> tfb.Bijector:
    network = tg.networks.MADE(4, hidden_units=(8,), seed=0)
    function = tg.Tracked(lambda x: tf.split(network(x), 2, -1), [network])
    return tfb.MaskedAutoregressiveFlow(function)


def spline() -> tfb.Bijector:
    network = dense(2 * 14, 2)

    def make_spline(x, units):
        raw = tf.reshape(network(x), [-1, 2, 14])
        widths, heights, slopes = tf.split(raw, [5, 5, 4], -1)
        return tfb.RationalQuadraticSpline(
            8 * tf.nn.softmax(widths),
            8 * tf.nn.softmax(heights),
            tf.nn.softplus(slopes) + 0.01,
            range_min=-4.0,
        )

    return tfb.RealNVP(num_masked=2, bijector_fn=tg.Tracked(make_spline, [network]))


def ffjord() -> tfb.Bijector:
    network = dense(4, 4)
    # The noise of the trace decides the solver's steps too, and so where its error lies.
    solver = tfp.math.ode.DormandPrince(rtol=1e-6, atol=1e-6)
    return tfb.FFJORD(tg.Tracked(lambda t, x: network(x), [network]), ode_solve_fn=solver.solve)


def vector_flow(*stock) -> tg.Flow:
    parts = [tgb.ActNorm(4), *(make() for make in stock), tgb.Invertible1x1Conv(4, seed=0)]
    return tg.Flow(tg.standard_normal(4), tgb.Chain(parts))


# XLA compiles FFJORD's solver too, in minutes.
@pytest.mark.parametrize(
    ("stock", "jit_compile"),
    [([ffjord], False), ([real_nvp, maf, spline], True)],
    ids=["graph", "xla"],
)
def test_stock_flows_in_one_chain_with_ours(stock, jit_compile, tmp_path, without_gradients):
    x = 0.3 * normal((64, 4), "float32") ** 3
    model = tg.FlowModel(vector_flow(*stock))
    assert len(model.trainable_variables) == 4 * len(stock) + 5
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
    losses = model.fit(x, batch_size=32, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]

    model.save_weights(tmp_path / "stock.weights.h5")
    other = tg.FlowModel(vector_flow(*stock))
    other.load_weights(tmp_path / "stock.weights.h5")
    for variable, value in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(variable, value)

    tg.export_saved_model(model.distribution, tmp_path / "exported")
    encode = tf.saved_model.load(str(tmp_path / "exported")).signatures["encode"]
    np.testing.assert_allclose(encode(x=x[:3])["z"], model.distribution.encode(x[:3]), atol=1e-4)


def stock_glow() -> tfb.Bijector:
    def convolution(shape, channels: int) -> tg.Tracked:
        layers = [keras.layers.Conv2D(4, 3, padding="same", activation="relu")]
        layers.append(keras.layers.Conv2D(channels, 3, padding="same"))
        return tg.Tracked(keras.Sequential([keras.Input(tuple(shape)), *layers]))

    return tfb.Glow(
        output_shape=(4, 4, 4),
        num_glow_blocks=2,
        num_steps_per_block=1,
        coupling_bijector_fn=lambda shape: convolution(shape, 2 * shape[-1]),
        exit_bijector_fn=lambda shape, output_chan: convolution(shape, 2 * output_chan),
    )


def image_flow() -> tg.Flow:
    return tg.Flow(tg.standard_normal(64), tgb.Chain([tgb.ActNorm(4), stock_glow()]))


def test_stock_glow_in_one_chain_with_ours(tmp_path):
    """By XLA. Not exported: tfb.Glow cannot trace a batch of unknown size."""
    x = normal((32, 4, 4, 4), "float32")
    model = tg.FlowModel(image_flow())
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    losses = model.fit(x, batch_size=16, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save_weights(tmp_path / "stock.weights.h5")
    other = tg.FlowModel(image_flow())
    other.load_weights(tmp_path / "stock.weights.h5")
    expected = model.distribution.log_prob(x[:2])
    np.testing.assert_allclose(other.distribution.log_prob(x[:2]), expected, rtol=1e-5)
