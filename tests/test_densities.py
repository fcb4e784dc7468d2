"""Recipes for vectors train, invert and are saved; their densities are those of their samples."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from sklearn.datasets import make_moons

import tfp_glow as tg
from tests.test_recipes import ON_IMAGES
from tfp_glow import flows

pytestmark = pytest.mark.slow

# Splines of marginals whose bins the cells can tell.
BINS_OF = {"marginal_bins": 8}
UNITS = {"hidden_units": (16, 16), **BINS_OF}
EXACT = {
    "autoregressive_prior": {},
    "coupling_spline": {"steps": 2, **UNITS},
    "ffjord": {"hidden_units": (16,), "trace": "exact"},
    "gaussian": {},
    "iaf": {"steps": 3, **UNITS},
    "iresnet": {"steps": 2, **UNITS, "exact": True},
    "linear": {},
    "maf": {"steps": 3, **UNITS},
    "nice": UNITS,
    "planar": {"steps": 4, **BINS_OF},
    "radial": {"steps": 4, **BINS_OF},
    "realnvp": {"steps": 2, **UNITS},
    "residual_flow": {"steps": 2, **UNITS, "exact": True},
    "sylvester": {"steps": 2, **BINS_OF},
}
SAMPLES, CELLS, BINS = 20_000, 256, 16


def build(name: str) -> tg.Flow:
    if name == "autoregressive_prior":
        return flows.autoregressive_prior(build("realnvp"), hidden_units=(16,), seed=0)
    return flows.RECIPES[name](2, seed=0, **EXACT[name])


def moons() -> np.ndarray:
    return 2.0 * make_moons(2000, noise=0.1, random_state=0)[0].astype("float32") - [1.0, 0.5]


def trained(flow: tg.Flow) -> tg.FlowModel:
    model = tg.FlowModel(flow)
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=False)
    losses = model.fit(moons(), batch_size=100, epochs=2, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    return model


def check_inversion_and_saving(model: tg.FlowModel, path) -> None:
    flow, x = model.distribution, moons()[:30]
    np.testing.assert_allclose(flow.decode(tf.identity(flow.encode(x))), x, atol=1e-4)
    model.save(path)
    loaded = keras.saving.load_model(path).distribution
    with tg.evaluation():
        np.testing.assert_allclose(loaded.log_prob(x), flow.log_prob(x), atol=1e-4)


def edges() -> np.ndarray:
    """Of cells that cover the line as far as any sample lies, small ones where most samples do."""
    return np.sinh(np.linspace(-7.0, 7.0, CELLS + 1))


def masses(flow: tg.Flow) -> np.ndarray:
    """What the density gives each cell of the plane."""
    ends = edges()
    middle, width = 0.5 * (ends[1:] + ends[:-1]), np.diff(ends)
    points = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape([-1, 2])
    log_prob = tf.function(flow.log_prob, autograph=False)
    parts = np.array_split(points.astype("float32"), 20)
    density = np.concatenate([np.exp(log_prob(part)) for part in parts])
    return density.reshape([CELLS, CELLS]) * np.outer(width, width)


def in_bins(cells: np.ndarray) -> np.ndarray:
    """Sums over blocks of cells."""
    block = CELLS // BINS
    return cells.reshape([BINS, block, BINS, block]).sum((1, 3))


@pytest.mark.parametrize("name", EXACT)
def test_a_trained_density_integrates_to_one_and_samples_follow_it(name, tmp_path):
    """One model: fit, invert, save and load, then its density."""
    model = trained(build(name))
    check_inversion_and_saving(model, tmp_path / "model.keras")
    flow = model.distribution
    mass = masses(flow)
    np.testing.assert_allclose(mass.sum(), 1.0, atol=5e-3)

    x = flow.sample(SAMPLES, seed=3).numpy()
    counts = in_bins(np.histogram2d(*x.T, bins=[edges(), edges()])[0])
    expected = SAMPLES * in_bins(mass) / mass.sum()
    often = expected > 10
    observed, expected = (
        np.append(values[often], values[~often].sum()) for values in (counts, expected)
    )
    assert len(expected) > 20
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-3


def test_every_exact_recipe_is_here():
    on_flows = {"conditioned", "dequantization_noise", "gaussian_base", "stack", "tabular"}
    assert set(EXACT) == set(flows.RECIPES) - on_flows - set(ON_IMAGES)
