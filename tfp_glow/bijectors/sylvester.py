"""The Sylvester flow."""

from __future__ import annotations

from typing import Literal

import numpy as np
import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_channels, check_choice, check_positive_int
from tfp_glow.core.shapes import multiply_last
from tfp_glow.solvers.roots import solve_for_latent

__all__ = ["Sylvester"]


class Sylvester(FlowBijector):
    """Planar flows in several orthogonal directions at once.

        forward:  x = z + Q A tanh(B Q^T z + b)
                  log|det dx/dz| = sum_i log(1 + tanh'_i A_ii B_ii)
        inverse:  z = x - Q A tanh(B s + b)

    with Q `[size, directions]` of orthonormal columns, A and B upper triangular and
    A_ii B_ii > -1. s = Q^T z solves s + A tanh(B s + b) = Q^T x, from the last direction to the
    first one scalar equation each, found by bisection to the dtype's precision, with
    gradients by the implicit function theorem. |A_ii| < 1 and |B_ii| < 1 are tanhs.

    Args:
      size: Size of the last dimension.
      directions: Number of columns of Q; `size` of them when omitted.
      basis: `"orthogonal"`, the Q of a learned matrix's QR decomposition, or `"householder"`, the
        first columns of a product of `reflections` learned reflections.
      reflections: Number of reflections.
      seed: Seed of the initial values.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., size]` both ways, the log-det `[...]`.

    Raises:
      ValueError, TypeError: If a size is no positive int, there are more directions than
        dimensions, or a value has another size.

    Example:

        flow = Repeat(lambda: Sylvester(8, directions=4), depth=8)
        z = flow.inverse(x)

    References:
      van den Berg, Hasenclever, Tomczak and Welling, "Sylvester Normalizing Flows for
      Variational Inference", arXiv:1803.05649.
    """

    def __init__(
        self,
        size: int,
        *,
        directions: int | None = None,
        basis: Literal["orthogonal", "householder"] = "orthogonal",
        reflections: int = 4,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        parameters = dict(locals())
        check_positive_int(size, "size")
        check_positive_int(reflections, "reflections")
        check_choice(basis, ("orthogonal", "householder"), "basis")
        columns = size if directions is None else check_positive_int(directions, "directions")
        if columns > size:
            raise ValueError(f"directions must be at most size = {size}. Received: {columns}.")
        super().__init__(forward_min_event_ndims=1, dtype=dtype, parameters=parameters, name=name)
        self._size, self._columns, self._basis = size, columns, basis
        generator = np.random.default_rng(seed)
        rows = (reflections, size) if basis == "householder" else (size, columns)
        self.directions = self.add_variable(generator.standard_normal(rows), name="directions")
        triangles = 0.1 * generator.standard_normal((2, columns, columns))
        self.a = self.add_variable(triangles[0], name="a")
        self.b = self.add_variable(triangles[1], name="b")
        self.offset = self.add_variable(np.zeros(columns), name="offset")

    def _forward_and_log_det(self, z, condition=None):
        check_channels(z, self._size, self.name)
        q, a, b = self._matrices()
        tanh = tf.tanh(multiply_last(multiply_last(z, q), tf.transpose(b)) + self._offset_tensor)
        return z + self._push(q, a, tanh), _log_det(a, b, tanh)

    def _inverse_and_log_det(self, x, condition=None):
        check_channels(x, self._size, self.name)
        q, a, b = self._matrices()
        tanh = self._solve(multiply_last(x, q), a, b)
        return x - self._push(q, a, tanh), -_log_det(a, b, tanh)

    def _solve(self, y, a, b):
        """tanh(B s + b) at the s for which s + A tanh(B s + b) is y."""
        offset = self._offset_tensor
        latents, tanhs = [], []  # Of the directions solved already, the last one first.
        for i in reversed(range(self._columns)):
            # With no later direction the sums are zero.
            shift, moved = offset[i], tf.zeros_like(y[..., i])
            for j, s, tanh in zip(reversed(range(self._columns)), latents, tanhs, strict=False):
                shift, moved = shift + b[i, j] * s, moved + a[i, j] * tanh
            s = solve_for_latent(y[..., i] - moved, a[i, i], b[i, i], shift)
            latents.append(s)
            tanhs.append(tf.tanh(b[i, i] * s + shift))
        return tf.stack(tanhs[::-1], -1)

    def _push(self, q, a, tanh):
        return multiply_last(multiply_last(tanh, tf.transpose(a)), tf.transpose(q))

    @property
    def _offset_tensor(self):
        return tf.convert_to_tensor(self.offset)

    def _matrices(self):
        """Q, A and B."""
        a, b = (_bounded_triangle(tf.convert_to_tensor(v)) for v in (self.a, self.b))
        directions = tf.convert_to_tensor(self.directions)
        if self._basis == "orthogonal":
            return tf.linalg.qr(directions).q, a, b
        q = tf.eye(self._size, self._columns, dtype=self.dtype)
        for v in tf.unstack(directions):
            q -= (
                2.0
                * tf.tensordot(v, tf.linalg.matvec(q, v, transpose_a=True), 0)
                / tf.reduce_sum(v**2)
            )
        return q, a, b


def _bounded_triangle(matrix):
    """The upper triangle, with a diagonal in (-1, 1)."""
    return tf.linalg.set_diag(
        tf.linalg.band_part(matrix, 0, -1), tf.tanh(tf.linalg.diag_part(matrix))
    )


def _log_det(a, b, tanh):
    product = tf.linalg.diag_part(a) * tf.linalg.diag_part(b)
    return tf.reduce_sum(tf.math.log1p((1.0 - tanh**2) * product), -1)
