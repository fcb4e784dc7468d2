"""Ranks and credibility levels, of a posterior that is known and of ones that are not it."""

import numpy as np
import pytest
import scipy.stats

import tfp_glow as tg
from tests.helpers import normal
from tfp_glow.inference import calibration_ranks, credibility_levels

COUNT, SAMPLES = 1000, 19


class Posterior(tg.bijectors.FlowBijector):
    """Of a standard normal parameter, of which y is a measurement with a standard normal error.

    p(x given y) = N(y / 2, 1 / 2); `width` times as wide.
    """

    def __init__(self, width: float = 1.0):
        super().__init__(forward_min_event_ndims=1, condition_shape=(2,), dtype="float64")
        self.scale = width * np.sqrt(0.5)

    def _forward_and_log_det(self, z, condition=None):
        return condition / 2 + self.scale * z, self.full_log_det(z, 2 * np.log(self.scale))

    def _inverse_and_log_det(self, x, condition=None):
        z = (x - condition / 2) / self.scale
        return z, self.full_log_det(x, -2 * np.log(self.scale))


def posterior(width: float = 1.0) -> tg.Flow:
    return tg.Flow(tg.standard_normal(2, "float64"), Posterior(width))


PARAMETERS = normal((COUNT, 2))
OBSERVATIONS = PARAMETERS + normal((COUNT, 2), seed=1)


def p_values(width: float) -> list[float]:
    """Of uniform ranks of either parameter, and of uniform levels."""
    arguments = (posterior(width), PARAMETERS, OBSERVATIONS)
    ranks = calibration_ranks(*arguments, num_samples=SAMPLES, batch_size=300, seed=0)
    assert ranks.shape == (COUNT, 2)
    counts = [np.bincount(column, minlength=SAMPLES + 1) for column in ranks.T]
    levels = credibility_levels(*arguments, num_samples=SAMPLES, seed=0)
    counts.append(np.bincount(np.rint(SAMPLES * levels).astype(int), minlength=SAMPLES + 1))
    return [scipy.stats.chisquare(c).pvalue for c in counts]


def test_of_the_posterior_they_are_uniform():
    assert min(p_values(1.0)) > 1e-3


@pytest.mark.parametrize("width", [0.7, 1.4])
def test_of_another_width_they_are_not(width):
    assert max(p_values(width)) < 1e-6


def test_one_that_is_too_sure_covers_less():
    levels = credibility_levels(posterior(0.5), PARAMETERS, OBSERVATIONS, seed=0)
    # In the plane the region of level a has the radius sqrt(-2 log(1 - a)) of the standard normal.
    expected = scipy.stats.chi2(2).cdf(0.5**2 * scipy.stats.chi2(2).ppf(0.9))
    np.testing.assert_allclose(np.mean(levels <= 0.9), expected, atol=0.05)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((tg.flows.maf(2), PARAMETERS, OBSERVATIONS), TypeError, "posterior must be a flow"),
        ((None, PARAMETERS, OBSERVATIONS), TypeError, "posterior must be a flow"),
        ((posterior(), PARAMETERS[:3], OBSERVATIONS), ValueError, "Received: 3 and 1000"),
        ((posterior(), PARAMETERS[:, :1], OBSERVATIONS), ValueError, "parameters must have event"),
        ((posterior(), PARAMETERS / 0, OBSERVATIONS), ValueError, "parameters must be finite"),
        ((posterior(), PARAMETERS, np.nan * OBSERVATIONS), ValueError, "observations"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        calibration_ranks(*arguments)


def test_bad_numbers():
    for name in ("num_samples", "batch_size"):
        with pytest.raises(ValueError, match=name):
            credibility_levels(posterior(), PARAMETERS, OBSERVATIONS, **{name: 0})
