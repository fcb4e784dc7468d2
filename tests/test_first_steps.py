"""The first steps of an optimizer do not throw a flow far from its data."""

import keras
import numpy as np
import pytest

import tfp_glow as tg


@pytest.mark.slow
def test_a_deep_glow_learns_from_its_first_step_on():
    """All couplings moved as one, and the second loss was 7e5 bits/dim."""
    images = np.random.default_rng(0).integers(0, 256, [16, 16, 16, 3])
    flow = tg.flows.glow((16, 16, 3), levels=2, steps=16, hidden_channels=64, seed=0)
    model = tg.FlowModel(tg.Dequantized(flow), seed=0)
    model.compile(keras.optimizers.Adam(5e-3))
    losses = [model.train_on_batch(images, return_dict=True)["loss"] for _ in range(6)]
    # Uniform images have 8 bits.
    assert max(losses) < 10.0


def test_a_step_moves_the_output_of_a_zero_convolution_by_its_scale():
    moves = []
    for scale in (1.0, 0.1):
        layer = tg.networks.ZeroConv2D(1, 3, scale=scale)
        layer.build((None, 5, 5, 8))
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.apply(
            [np.ones(w.shape, "float32") for w in layer.trainable_weights[:1]],
            layer.trainable_weights[:1],
        )
        moves.append(np.abs(layer(np.ones([1, 5, 5, 8], "float32"))).max())
    np.testing.assert_allclose(moves, [9 * 8 * 1e-3, 0.9 * 8 * 1e-3], rtol=1e-4)


def test_a_zero_convolution_needs_a_scale():
    with pytest.raises(ValueError, match="scale must be above 0"):
        tg.networks.ZeroConv2D(1, 3, scale=0.0)
