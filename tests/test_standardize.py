"""Pixels as floats of mean 0 and deviation 1."""

import keras
import numpy as np
import pytest

from tfp_glow.layers import Standardize

PIXELS = np.random.default_rng(0).integers(0, 17, [40, 3, 3, 2]).astype("int32")


def layer(**options) -> Standardize:
    pixels = PIXELS.reshape(-1, 2)
    return Standardize(pixels.mean(0).tolist(), pixels.std(0).tolist(), num_bins=17, **options)


def test_values_have_mean_0_and_deviation_1():
    values = np.asarray(layer()(PIXELS)).reshape(-1, 2)
    np.testing.assert_allclose(values.mean(0), 0.0, atol=1e-6)
    np.testing.assert_allclose(values.std(0), 1.0, rtol=1e-6)


def test_invert_gives_integers_in_range():
    standardize = layer()
    values = standardize(PIXELS)
    np.testing.assert_array_equal(standardize.invert(values), PIXELS)
    for added, pixel in ((100.0, 16), (-100.0, 0)):
        assert (np.asarray(standardize.invert(values + added)) == pixel).all()


def test_saving_keeps_the_statistics(tmp_path):
    model = keras.Sequential([keras.Input([3, 3, 2], dtype="int32"), layer(dtype="float64")])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(PIXELS), model(PIXELS))
    assert loaded(PIXELS).dtype == "float64"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Standardize([0.0], [0.0], 17), "deviation must be above 0"),
        (lambda: Standardize([0.0], [1.0, 1.0], 17), "deviation must hold a number for each of 1"),
        (lambda: Standardize([np.nan], [1.0], 17), "mean must be finite"),
        (lambda: Standardize([0.0], [1.0], 0), "num_bins must be at least 1"),
        (lambda: Standardize([0.0], [1.0], 17)(PIXELS), "mean must hold a number for each of 2"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
