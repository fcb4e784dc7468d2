"""Files that version 0.1.0 saved load, with equal densities."""

from __future__ import annotations

import json
import pathlib

import keras
import numpy as np
import pytest

import tfp_glow as tg
from tests.helpers import normal
from tfp_glow.laws import AffineSoftsign

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


@pytest.mark.parametrize("bound", [1.0, 2.0, 3.0])
def test_a_law_is_saved_with_its_bound(bound):
    """The name means a bound of 1, whatever a recipe's default is."""
    options = {"steps": 1, "hidden_units": (4,), "seed": 0}
    law = {1.0: {"law": "affine_softsign"}, 2.0: {}}.get(bound, {"law": AffineSoftsign(bound)})
    config = json.loads(json.dumps(tg.FlowModel(tg.flows.maf(2, **law, **options)).get_config()))
    x = 5.0 * normal([9, 2], "float32")
    again = tg.FlowModel.from_config(config).distribution.log_prob(x)
    expected = tg.flows.maf(2, law=AffineSoftsign(bound), **options).log_prob(x)
    np.testing.assert_array_equal(again, expected)
