"""Planar, radial and Sylvester flows beyond the contract."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow.solvers.roots import solve_for_latent


@pytest.mark.parametrize("gain", [-0.999, -0.5, 0.0, 3.0, 50.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_scalar_equation_is_solved(gain, dtype):
    s = tf.constant(np.linspace(-6.0, 6.0, 101), dtype)
    one, offset = tf.ones([], dtype), tf.constant(0.3, dtype)
    y = s + gain * tf.tanh(s + offset)
    solved = solve_for_latent(y, tf.constant(gain, dtype), one, offset)
    again = solved + gain * tf.tanh(solved + offset)
    np.testing.assert_allclose(again, y, atol=1e-14 if dtype == "float64" else 2e-5)


def test_planar_stays_invertible_however_u_points():
    flow = tgb.Planar(2, dtype="float64")
    flow.w.assign([1.0, 2.0])
    flow.u.assign([-30.0, -40.0])  # Unconstrained, w.u = -110 would fold the plane.
    z = normal((50, 2))
    x, log_det = flow.forward_and_log_det(z)
    assert np.isfinite(log_det).all()
    np.testing.assert_allclose(flow.inverse(tf.identity(x)), z, atol=1e-9)


def test_planar_without_a_direction_is_a_shift():
    flow = tgb.Planar(2, dtype="float64")
    flow.w.assign([0.0, 0.0])
    z = normal((5, 2))
    x, log_det = flow.forward_and_log_det(z)
    assert np.isfinite(x).all()
    np.testing.assert_allclose(flow.inverse(tf.identity(x)), z, atol=1e-12)
    np.testing.assert_allclose(log_det, np.log1p((1 - np.tanh(0.0) ** 2) * (np.log(2.0) - 1)))


def test_planar_begins_near_the_identity():
    """For any seed; with u near 0 instead every step would contract its direction by 0.7."""
    log_dets = [tgb.Planar(3, seed=k).forward_log_det_jacobian(np.zeros(3), 1) for k in range(50)]
    assert abs(np.mean(log_dets)) < 0.05


def test_sylvester_begins_with_bends():
    """A tanh of small values would be a straight line, which many steps take long to leave."""
    z, bends = normal((50, 3)), []
    for seed in range(10):
        flow = tgb.Sylvester(3, seed=seed, dtype="float64")
        moved, moved_twice = flow.forward(z) - z, flow.forward(2.0 * z) - 2.0 * z
        bends.append(np.linalg.norm(moved_twice - 2.0 * moved) / np.linalg.norm(moved))
        assert np.linalg.norm(moved) < 0.5 * np.linalg.norm(z)
    assert np.median(bends) > 0.2


def test_radial_starts_as_the_identity_and_is_finite_at_its_center():
    flow = tgb.Radial(3, seed=0, dtype="float64")
    z = normal((5, 3))
    np.testing.assert_allclose(flow.forward(z), z, atol=1e-12)
    randomize(flow)
    center = tf.convert_to_tensor(flow.center)[tf.newaxis]
    for direction in (flow.forward_and_log_det, flow.inverse_and_log_det):
        with tf.GradientTape() as tape:
            value, log_det = direction(center)
            loss = tf.reduce_sum(value) + tf.reduce_sum(log_det)
        np.testing.assert_allclose(value, center, atol=1e-12)
        assert all(np.isfinite(g).all() for g in tape.gradient(loss, flow.trainable_variables))


@pytest.mark.parametrize("basis", ["orthogonal", "householder"])
def test_the_directions_of_sylvester_are_orthonormal(basis):
    flow = tgb.Sylvester(5, directions=3, basis=basis, seed=0, dtype="float64")
    q = flow._matrices(None)[0]
    np.testing.assert_allclose(tf.transpose(q) @ q, np.eye(3), atol=1e-12)


def test_sylvester_in_one_direction_is_planar():
    sylvester = tgb.Sylvester(3, directions=1, seed=0, dtype="float64")
    q, a, b, _ = (m.numpy() for m in sylvester._matrices(None))
    z = normal((4, 3))
    expected = z + a[0, 0] * np.tanh(b[0, 0] * (z @ q)) * q[:, 0]
    np.testing.assert_allclose(sylvester.forward(z), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: tgb.Planar(0), "channels must be at least 1"),
        (lambda: tgb.Radial(-1), "channels must be at least 1"),
        (lambda: tgb.Sylvester(2, directions=3), "directions must be at most channels = 2"),
        (lambda: tgb.Sylvester(2, basis="qr"), "basis must be one of"),
        (lambda: tgb.Planar(2).inverse(tf.zeros([1, 3])), "2 channels"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()
