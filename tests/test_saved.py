"""Files that version 0.1.0 saved load, with equal densities."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest

import tfp_glow as tg

FOLDER = pathlib.Path(__file__).parent / "saved"
EXPECTED = np.load(FOLDER / "expected.npz")
NAMES = sorted(path.stem for path in FOLDER.glob("*.keras"))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_0_1_0_gives_the_log_prob_that_it_gave(name):
    model = keras.saving.load_model(FOLDER / f"{name}.keras")
    kwargs = {}
    if f"{name}/condition" in EXPECTED:
        kwargs["condition"] = EXPECTED[f"{name}/condition"]
    if isinstance(model.distribution, tg.Dequantized):
        kwargs["seed"] = 1
    with tg.evaluation():
        log_prob = model.distribution.log_prob(EXPECTED[f"{name}/x"], **kwargs)
    np.testing.assert_allclose(log_prob, EXPECTED[f"{name}/log_prob"], rtol=1e-5, atol=1e-5)
