"""Training that goes on from a saved model as if it had not been stopped."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg

# In graphs the command line does the same.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

IMAGES = np.random.default_rng(0).integers(0, 16, [40, 4, 4, 1])


def new_model(seed=5):
    flow = tg.flows.glow((4, 4, 1), levels=1, steps=1, hidden_channels=4, seed=0)
    model = tg.FlowModel(tg.Dequantized(flow, 16), seed=seed)
    model.initialize(IMAGES)
    model.compile(keras.optimizers.Adamax(1e-2))
    return model


def fit(model, epochs=1):
    return model.fit(IMAGES, batch_size=16, epochs=epochs, shuffle=False, verbose=0).history


def test_a_loaded_model_goes_on_with_the_noise_it_would_have_had(tmp_path):
    keras.utils.set_random_seed(0)
    whole = new_model()
    fit(whole)
    whole.save(tmp_path / "half.keras")
    keras.utils.set_random_seed(1)
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert fit(whole) == fit(resumed)
    for variable, other in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(variable, other)


def test_each_step_has_noise_of_its_own():
    model = new_model()
    model.optimizer.learning_rate = 0.0
    assert len(set(fit(model, epochs=3)["loss"])) == 3


def test_each_seed_has_noise_of_its_own():
    assert fit(new_model(1)) != fit(new_model(2))


def test_evaluation_repeats_and_its_batches_differ():
    model = new_model()
    same = tf.data.Dataset.from_tensors(IMAGES[:8])
    first = model.evaluate(same, verbose=0)
    assert model.evaluate(same, verbose=0) == first
    assert model.evaluate(same.repeat(2), verbose=0)[0] != pytest.approx(first[0], rel=1e-6)
