"""Ten standard deviations out, flows far from their start still tell values apart in float32."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import flows

# Steps alone; what is beyond the splines of marginals is in test_marginal_gaussianization.
STEPS = {"marginal_bins": None, "seed": 0}


def prior(**options) -> tg.Flow:
    flow = flows.realnvp(3, steps=1, **STEPS, **options)
    return flows.autoregressive_prior(flow, hidden_units=(64, 64), seed=0, **options)


def glow(**options) -> tg.Flow:
    sizes = {"levels": 2, "steps": 8, "hidden_channels": 16}
    return flows.glow((8, 8, 1), **STEPS, **sizes, **options)


# Each recipe, how far its weights are moved, and the law of version 0.1.0.
RECIPES = {
    "autoregressive_prior": (prior, 0.2, "affine_exp"),
    "glow": (glow, 0.1, "affine"),
    "iaf": (lambda **options: flows.iaf(3, **STEPS, **options), 0.2, "affine"),
    "maf": (lambda **options: flows.maf(3, **STEPS, **options), 0.2, "affine"),
    "realnvp": (lambda **options: flows.realnvp(3, **STEPS, **options), 0.2, "affine_exp"),
}


def errors(name: str, **options) -> tuple[float, float]:
    """Of latents that are decoded and encoded; and the log-density of outliers of the data."""
    build, scale, _ = RECIPES[name]
    flow = build(**options)
    randomize(flow.bijector, scale=scale)
    z = 10.0 * normal([50, int(flow.distribution.event_shape[0])], "float32")
    x = flow.decode(z)
    error = np.max(np.abs(flow.encode(tf.identity(x)) - z))
    outliers = 10.0 * x / tf.math.reduce_std(x)
    return error, np.min(flow.log_prob(outliers)) if np.isfinite(x).all() else -np.inf


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "maf" else pytest.mark.slow) for n in RECIPES]
)
def test_latents_come_back_and_densities_do_not_explode(name):
    error, log_prob = errors(name)
    assert error < 2e-3
    assert log_prob > -1e4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["glow", "realnvp"])
def test_they_did_not_with_the_laws_and_unbounded_networks_of_before(name):
    error, _ = errors(name, law=RECIPES[name][2], reach=None)
    assert not error < 1.0


def reaches(bijector):
    """Those of a flow's networks, in its loops too."""
    for part in bijector.submodules:
        if isinstance(part, tg.bijectors.Repeat):
            with part.step_at(0) as step:
                yield from reaches(step)
        elif hasattr(part, "_reach"):
            yield part._reach


@pytest.mark.parametrize("name", ["iaf", "maf", "realnvp"])
def test_behind_splines_of_marginals_networks_see_less(name):
    recipe = flows.RECIPES[name]
    for options, reach in [
        ({}, 4.0),
        ({"marginal_bins": None}, 10.0),
        ({"condition_size": 2}, 10.0),
        ({"reach": 2.0}, 2.0),
        ({"reach": None}, None),
    ]:
        flow = recipe(2, steps=1, hidden_units=(4,), **options)
        assert set(reaches(flow.bijector)) == {reach}
    with pytest.raises(ValueError, match="reach must be one of"):
        recipe(2, reach="far")


def test_the_reach_bounds_what_a_network_sees_and_no_more():
    seen = []

    def network(x):
        seen.append(x)
        return tf.concat([x, tf.zeros_like(x)], -1)

    coupling = tg.bijectors.Coupling(network, law="affine_exp", reach=2.0)
    x = tf.constant([[1.0, 5.0], [-7.0, 5.0]])
    z = coupling.inverse(x)
    np.testing.assert_array_equal(seen[0], [[1.0], [-2.0]])
    np.testing.assert_array_equal(z, [[1.0, 6.0], [-7.0, 3.0]])
    np.testing.assert_array_equal(coupling.forward(tf.identity(z)), x)
    with pytest.raises(ValueError, match="reach"):
        tg.bijectors.Coupling(network, reach=0.0)
