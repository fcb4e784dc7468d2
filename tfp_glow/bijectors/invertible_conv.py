"""The invertible 1x1 convolution, a learned mixing of channels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_choice
from tfp_glow.core.products import multiply_precisely
from tfp_glow.core.randomness import random_generator

__all__ = ["Invertible1x1Conv"]


class Invertible1x1Conv(FlowBijector):
    """Multiplies the channels of every position by one invertible matrix W.

        inverse:  z = W x         log|det dz/dx| =  log|det W|   for each position
        forward:  x = W^-1 z      log|det dx/dz| = -log|det W|

    W starts as a random rotation or permutation or as the identity, whose log-dets are 0.

    - `"lu"`: W = P L (U + diag(sign * exp(log_diagonal))) with P a fixed permutation, L
      unit lower triangular, U strictly upper triangular and fixed signs;
      log|det W| = sum(log_diagonal), and W^-1 takes two triangular solves. W stays
      invertible whatever the optimizer does.
    - `"plain"`: W is one matrix. Its log-det comes from a QR decomposition in float64.

    Args:
      channels: Size of the last dimension. On vectors this mixes all of them.
      parameterization: `"lu"` or `"plain"`.
      start: `"rotation"`, or `"permutation"`, which leaves each value its own marginal, or
        `"identity"`. Of hundreds of channels rotations make sums that a step of the optimizer
        changes too much at once.
      seed: Seed of the start.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., channels]` both ways, the log-det `[...]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range, or a value has other channels.

    Example:

        mixing = Invertible1x1Conv(12, seed=0)
        x = mixing.forward(z)

    References:
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039, section 3.2.
      Durkan, Bekasov, Murray and Papamakarios, "Neural Spline Flows", arXiv:1906.04032, for L and U
      behind a random permutation.
    """

    def __init__(
        self,
        channels: int,
        *,
        parameterization: Literal["lu", "plain"] = "lu",
        start: Literal["rotation", "permutation", "identity"] = "rotation",
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        check_choice(parameterization, ("lu", "plain"), "parameterization")
        check_choice(start, tuple(_STARTS), "start")
        super().__init__(
            forward_min_event_ndims=1,
            channels=channels,
            dtype=dtype,
            is_constant_jacobian=True,
            name=name,
        )
        self._parameterization = parameterization
        matrix = _STARTS[start](channels, seed)
        if parameterization == "plain":
            self.kernel = self.add_variable(matrix, name="kernel")
        else:
            self._add_lu_variables(matrix)

    def _add_lu_variables(self, matrix: np.ndarray) -> None:
        packed, rows = (t.numpy() for t in tf.linalg.lu(matrix))
        diagonal = np.diag(packed)
        # P is a variable, so that a loop over depth can give each step its own.
        permutation = np.eye(self._channels)[:, rows]
        self.permutation = self.add_variable(permutation, name="permutation", trainable=False)
        self.sign = self.add_variable(np.sign(diagonal), name="sign", trainable=False)
        self.lower = self.add_variable(np.tril(packed, -1), name="lower")
        self.upper = self.add_variable(np.triu(packed, 1), name="upper")
        self.log_diagonal = self.add_variable(np.log(np.abs(diagonal)), name="log_diagonal")

    def _forward_and_log_det(self, z, condition=None):
        return self._mix(z, self._inverse_matrix(), -self._log_abs_det())

    def _inverse_and_log_det(self, x, condition=None):
        return self._mix(x, self._matrix(), self._log_abs_det())

    def _mix(self, value, matrix, log_det):
        return multiply_precisely(value, tf.transpose(matrix)), self.full_log_det(value, log_det)

    def _matrix(self):
        if self._parameterization == "plain":
            return tf.convert_to_tensor(self.kernel)
        lower, upper = self._triangles()
        return multiply_precisely(multiply_precisely(self.permutation, lower), upper)

    def _inverse_matrix(self):
        if self._parameterization == "plain":
            return tf.linalg.inv(self.kernel)
        lower, upper = self._triangles()
        right = tf.transpose(self.permutation)
        right = tf.linalg.triangular_solve(lower, right)
        return tf.linalg.triangular_solve(upper, right, lower=False)

    def _triangles(self):
        """L and U + diag(sign * exp(log_diagonal)); the unused triangles get no gradient."""
        ones = tf.ones([self._channels, self._channels], self.dtype)
        strictly_lower = ones - tf.linalg.band_part(ones, 0, -1)
        diagonal = tf.exp(self.log_diagonal) * self.sign
        lower = strictly_lower * self.lower
        upper = tf.transpose(strictly_lower) * self.upper
        return lower + tf.eye(self._channels, dtype=self.dtype), upper + tf.linalg.diag(diagonal)

    def _log_abs_det(self):
        if self._parameterization == "lu":
            return tf.reduce_sum(self.log_diagonal)
        return log_abs_det(tf.convert_to_tensor(self.kernel))


def random_rotation(size: int, seed: int | None) -> np.ndarray:
    """A rotation drawn uniformly: the Q of a Gaussian matrix, with R's diagonal positive."""
    q, r = np.linalg.qr(random_generator(seed).standard_normal([size, size]))
    return q * np.sign(np.diag(r))


def _random_permutation(size: int, seed: int | None) -> np.ndarray:
    return np.eye(size)[random_generator(seed).permutation(size)]


_STARTS = {
    "rotation": random_rotation,
    "permutation": _random_permutation,
    "identity": lambda size, seed: np.eye(size),
}


@tf.custom_gradient
def log_abs_det(matrix):
    """log|det| of a square matrix in float64, from QR, which XLA compiles on every backend."""

    def gradient(upstream):
        inverse = tf.linalg.inv(tf.cast(matrix, tf.float64))
        return upstream * tf.cast(tf.transpose(inverse), matrix.dtype)

    r = tf.linalg.qr(tf.cast(matrix, tf.float64)).r
    value = tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(r))))
    return tf.cast(value, matrix.dtype), gradient
