"""The Sylvester flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import tensorflow as tf

from tfp_glow.core.amortized import AmortizedBijector
from tfp_glow.core.checks import check_choice, check_positive_int
from tfp_glow.core.products import multiply_precisely
from tfp_glow.core.randomness import random_generator
from tfp_glow.solvers.roots import solve_for_latent

__all__ = ["Sylvester"]


class Sylvester(AmortizedBijector):
    """Planar flows in several orthogonal directions at once.

        forward:  x = z + Q A tanh(B Q^T z + b)
                  log|det dx/dz| = sum_i log(1 + tanh'_i A_ii B_ii)
        inverse:  z = x - Q A tanh(B s + b)

    with Q `[channels, directions]` of orthonormal columns, A and B upper triangular and
    A_ii B_ii > -1. s = Q^T z solves s + A tanh(B s + b) = Q^T x, from the last direction to the
    first one scalar equation each, whose root is found to the dtype's precision, with
    derivatives by the implicit function theorem. |A_ii| < 1 and |B_ii| < 1 are tanhs.

    Args:
      channels: Size of the last dimension.
      directions: Number of columns of Q; as many as channels when omitted.
      basis: `"orthogonal"`, the Q of a learned matrix's QR decomposition, or `"householder"`, the
        first columns of a product of `reflections` learned reflections.
      reflections: Number of reflections.
      network: A network, or a factory of one, from the condition to the parameters; see
        `AmortizedBijector`.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      seed: Seed of the initial values.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., channels]` both ways, the log-det `[...]`.

    Raises:
      ValueError, TypeError: If only one of `network` and `condition_shape` is given, a size is
        no positive int, there are more directions than dimensions, or a value has other channels.

    Example:

        flow = Repeat(lambda: Sylvester(8, directions=4), depth=8)
        z = flow.inverse(x)

    References:
      van den Berg, Hasenclever, Tomczak and Welling, "Sylvester Normalizing Flows for
      Variational Inference", arXiv:1803.05649.
    """

    def __init__(
        self,
        channels: int,
        *,
        directions: int | None = None,
        basis: Literal["orthogonal", "householder"] = "orthogonal",
        reflections: int = 4,
        network: Callable | None = None,
        condition_shape: Iterable[int] | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        check_positive_int(reflections, "reflections")
        check_choice(basis, ("orthogonal", "householder"), "basis")
        columns = channels if directions is None else check_positive_int(directions, "directions")
        if columns > channels:
            raise ValueError(
                f"directions must be at most channels = {channels}. Received: {columns}."
            )
        super().__init__(channels, network, condition_shape=condition_shape, dtype=dtype, name=name)
        self._columns, self._basis = columns, basis
        generator = random_generator(seed)
        rows = (reflections, channels) if basis == "householder" else (channels, columns)
        self.directions = self.add_variable(generator.standard_normal(rows), name="directions")
        triangles = 0.1 * generator.standard_normal((2, columns, columns))
        self.a = self.add_variable(triangles[0], name="a")
        # Each direction begins with a bend of its own: a tanh of small values is a straight line.
        self.b = self.add_variable(triangles[1] + np.eye(columns), name="b")
        self.offset = self.add_variable(np.zeros(columns), name="offset")
        self.amortize([self.directions, self.a, self.b, self.offset])

    def _forward_and_log_det(self, z, condition=None):
        q, a, b, offset = self._matrices(condition)
        along = multiply_precisely(multiply_precisely(z, q), tf.linalg.matrix_transpose(b))
        tanh = tf.tanh(along + offset)
        return z + _push(q, a, tanh), _log_det(a, b, tanh)

    def _inverse_and_log_det(self, x, condition=None):
        q, a, b, offset = self._matrices(condition)
        tanh = self._solve(multiply_precisely(x, q), a, b, offset)
        return x - _push(q, a, tanh), -_log_det(a, b, tanh)

    def _solve(self, y, a, b, offset):
        """tanh(B s + b) at the s for which s + A tanh(B s + b) is y."""
        latents, tanhs = [], []  # Of the directions solved already, the last one first.
        for i in reversed(range(self._columns)):
            # With no later direction the sums are zero.
            shift, moved = offset[..., i], tf.zeros_like(y[..., i])
            for j, s, tanh in zip(reversed(range(self._columns)), latents, tanhs, strict=False):
                shift, moved = shift + b[..., i, j] * s, moved + a[..., i, j] * tanh
            s = solve_for_latent(y[..., i] - moved, a[..., i, i], b[..., i, i], shift)
            latents.append(s)
            tanhs.append(tf.tanh(b[..., i, i] * s + shift))
        return tf.stack(tanhs[::-1], -1)

    def _matrices(self, condition):
        """Q, A, B and b."""
        directions, a, b, offset = self.parameters_at(condition)
        a, b = _bounded_triangle(a), _bounded_triangle(b)
        if self._basis == "orthogonal":
            return tf.linalg.qr(directions).q, a, b, offset
        q = tf.eye(self._channels, self._columns, dtype=self.dtype)
        for v in tf.unstack(directions, axis=-2):
            along = tf.reduce_sum(q * v[..., tf.newaxis], -2)
            length = tf.reduce_sum(v**2, -1)[..., tf.newaxis, tf.newaxis]
            q -= 2.0 * v[..., tf.newaxis] * along[..., tf.newaxis, :] / length
        return q, a, b, offset


def _push(q, a, tanh):
    along = multiply_precisely(tanh, tf.linalg.matrix_transpose(a))
    return multiply_precisely(along, tf.linalg.matrix_transpose(q))


def _bounded_triangle(matrix):
    """The upper triangle, with a diagonal in (-1, 1)."""
    # Not by set_diag, whose gradient XLA cannot compile where the batch is dynamic.
    above = tf.constant(np.triu(np.ones(matrix.shape[-2:]), 1), matrix.dtype)
    return matrix * above + tf.linalg.diag(tf.tanh(tf.linalg.diag_part(matrix)))


def _log_det(a, b, tanh):
    product = tf.linalg.diag_part(a) * tf.linalg.diag_part(b)
    return tf.reduce_sum(tf.math.log1p((1.0 - tanh**2) * product), -1)
