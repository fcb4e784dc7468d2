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


def test_it_may_start_as_the_identity():
    x = normal([3, 6], "float32")
    mixing = tg.bijectors.Invertible1x1Conv(6, start="identity")
    np.testing.assert_array_equal(mixing.inverse(x), x)


@pytest.mark.parametrize(
    ("event", "starts_as_permutation"), [((2, 2, 1), True), (3, True), (2, False)]
)
def test_coupling_splines_permute_more_than_two_values(event, starts_as_permutation):
    flow = tg.flows.coupling_spline(event, steps=2, hidden_units=(4,), seed=0)
    (upper,) = (v for v in flow.trainable_variables if "upper" in v.name)
    assert np.all(upper == 0) == starts_as_permutation


@pytest.mark.parametrize("size", [16, 17])
def test_coupling_splines_of_many_values_only_permute_and_transform_all_of_them(size):
    flow = tg.flows.coupling_spline(size, steps=4, hidden_units=(4,), seed=0)
    assert not any("upper" in v.name and len(v.shape) == 3 for v in flow.trainable_variables)
    (orders,) = (v for v in flow.bijector.variables if "order" in v.name)
    values, transformed = np.arange(size), []
    for order in orders.numpy():
        values = values[order]
        transformed.append(set(values[size // 2 :]))
    assert transformed[0] | transformed[1] == transformed[2] | transformed[3] == set(range(size))
    assert transformed[0] != transformed[2]
