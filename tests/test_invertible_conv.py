"""What the matrix of an invertible 1x1 convolution is at first."""

import numpy as np
import pytest

import tfp_glow as tg
from tests.helpers import normal


@pytest.mark.parametrize("parameterization", ["lu", "plain"])
@pytest.mark.parametrize("start", ["rotation", "permutation"])
def test_lengths_and_volumes_are_kept(start, parameterization):
    options = {"start": start, "parameterization": parameterization, "dtype": "float64"}
    mixing = tg.bijectors.Invertible1x1Conv(6, seed=1, **options)
    x = normal([3, 6])
    z = mixing.inverse(x).numpy()
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), np.linalg.norm(x, axis=-1))
    np.testing.assert_allclose(mixing.inverse_log_det_jacobian(x, 1), 0.0, atol=1e-12)
    assert np.allclose(np.sort(z), np.sort(x)) == (start == "permutation")
    assert not np.allclose(z, x)


@pytest.mark.parametrize(
    ("event", "starts_as_permutation"), [((2, 2, 1), True), (3, True), (2, False)]
)
def test_coupling_splines_permute_more_than_two_values(event, starts_as_permutation):
    flow = tg.flows.coupling_spline(event, steps=2, hidden_units=(4,), seed=0)
    (upper,) = (v for v in flow.trainable_variables if "upper" in v.name)
    assert np.all(upper == 0) == starts_as_permutation
