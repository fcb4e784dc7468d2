"""Tied latents of pairs: normal, with a correlation that is learned."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_bool
from tfp_glow.core.products import multiply_precisely
from tfp_glow.domains.tie import Tie

__all__ = ["Correlated"]


@keras.saving.register_keras_serializable("tfp_glow")
class Correlated(Tie):
    """Ties the latents of pairs (x, y), each with its own correlation r in (-1, 1).

        z_x ~ N(0, 1),   z_y given z_x ~ N(r Q z_x, 1 - r^2)        of each tied latent

    so that z_y is standard normal too, as Q is orthogonal: log p(x) and log p(y) stay what they are
    in the two flows, and

        log p(y given x) = log p(y) + sum_i log N(z_y; r Q z_x, 1 - r^2) - log N(z_y; 0, 1)

    is exact. To translate, z_y = sign(r) Q z_x, and back z_x = Q' sign(r) z_y.

    Q is the identity, or, where `rotated`, the orthogonal matrix that brings the latents of the
    first pairs closest to each other (the orthogonal Procrustes problem), and stays. It finds what
    belongs together where x and y have it in different places. The first batch of
    `DomainMapModel.fit` starts r too.

    Args:
      rotated: Whether Q is found, from 8 pairs a tied latent where there are as many. It has the
        square of the tied latents' number of values.
      name: Name of the module.

    Raises:
      TypeError: If `rotated` is no bool.

    Example:

        domain_map = DomainMap(flow_x, flow_y, tie=Correlated(rotated=True))

    References:
      Schoenemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31,
      1966.
    """

    # The largest |r| that a first batch may set; 1 would be without a gradient.
    LARGEST_START = 0.9
    ROWS_A_LATENT = 8

    def __init__(self, *, rotated: bool = False, name: str | None = None):
        super().__init__(name=name)
        self._rotated = check_bool(rotated, "rotated")
        self._rotation = None

    def _build(self, size: int, dtype: tf.DType) -> None:
        if self._rotated:
            identity = tf.eye(size, dtype=dtype)
            self._rotation = tf.Variable(identity, trainable=False, name="rotation")
        # tanh(0.5) before `initialize`: z_y = z_x.
        self._raw = tf.Variable(tf.fill([size], tf.cast(0.5, dtype)), name="correlation")
        self._flag = tf.Variable(False, trainable=False, name="flag")

    @property
    def initialized(self) -> bool:
        return bool(self._flag)

    @property
    def rows_to_start(self) -> int:
        return self.ROWS_A_LATENT * self._raw.shape[0] if self._rotated else 1

    def initialize(self, z_x, z_y) -> None:
        if self._rotated:
            u, _, v = np.linalg.svd(np.asarray(z_y, np.float64).T @ np.asarray(z_x, np.float64))
            self._rotation.assign(u @ v)
        z_x = self._turned(z_x)
        norms = tf.norm(z_x, axis=0) * tf.norm(z_y, axis=0)
        correlation = tf.math.divide_no_nan(tf.reduce_sum(z_x * z_y, 0), norms)
        limit = self.LARGEST_START
        self._raw.assign(tf.atanh(tf.clip_by_value(correlation, -limit, limit)))
        self._flag.assign(True)

    @property
    def correlation(self) -> tf.Tensor:
        """r of each tied latent."""
        return tf.tanh(self._raw)

    def carry(self, z):
        return self._signed(self._turned(z))

    def carry_back(self, z):
        z = self._signed(z)
        return multiply_precisely(z, self._rotation) if self._rotated else z

    def conditional(self, z_x) -> tuple:
        """Mean and standard deviation of y's latents given those of x."""
        return self.correlation * self._turned(z_x), tf.exp(0.5 * self._log_variance)

    def log_ratio(self, z_x, z_y):
        """log p(z_y given z_x) - log p(z_y), `[...]` in nats."""
        deviation = (z_y - self.correlation * self._turned(z_x)) * tf.exp(-0.5 * self._log_variance)
        terms = tf.square(z_y) - tf.square(deviation) - self._log_variance
        return 0.5 * tf.reduce_sum(terms, -1)

    @property
    def _log_variance(self):
        """log(1 - r^2), exact where r is close to 1."""
        size = tf.abs(self._raw)
        return 2.0 * (math.log(2.0) - size - tf.math.softplus(-2.0 * size))

    def get_config(self) -> dict:
        return {"rotated": self._rotated}

    def _turned(self, z_x):
        return multiply_precisely(z_x, tf.transpose(self._rotation)) if self._rotated else z_x

    def _signed(self, z):
        return tf.where(self._raw < 0.0, -z, z)
