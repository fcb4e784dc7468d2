"""Tied latents of pairs: normal, with a correlation that is learned."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tfp_glow.domains.tie import Tie

__all__ = ["Correlated"]


@keras.saving.register_keras_serializable("tfp_glow")
class Correlated(Tie):
    """Ties the latents of pairs (x, y), each with its own correlation r in (-1, 1).

        z_x ~ N(0, 1),   z_y given z_x ~ N(r z_x, 1 - r^2)        of each tied latent

    so that z_y is standard normal too: log p(x) and log p(y) stay what they are in the two flows,
    and

        log p(y given x) = log p(y) + sum_i log N(z_y; r z_x, 1 - r^2) - log N(z_y; 0, 1)

    is exact. To translate, z_y = sign(r) z_x, which is the same both ways. The first batch of
    `DomainMapModel.fit` starts r where its latents are.

    Example:

        domain_map = DomainMap(flow_x, flow_y, tie=Correlated())
    """

    # The largest |r| that a first batch may set; 1 would be without a gradient.
    LARGEST_START = 0.9

    def _build(self, size: int, dtype: tf.DType) -> None:
        # tanh(0.5) before `initialize`: z_y = z_x.
        self._raw = tf.Variable(tf.fill([size], tf.cast(0.5, dtype)), name="correlation")
        self._flag = tf.Variable(False, trainable=False, name="flag")

    @property
    def initialized(self) -> bool:
        return bool(self._flag)

    def initialize(self, z_x, z_y) -> None:
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
        return tf.where(self._raw < 0.0, -z, z)

    def conditional(self, z) -> tuple:
        """Mean and standard deviation of the one side's latents given the other's."""
        return self.correlation * z, tf.exp(0.5 * self._log_variance)

    def log_ratio(self, z_x, z_y):
        """log p(z_y given z_x) - log p(z_y), `[...]` in nats."""
        deviation = (z_y - self.correlation * z_x) * tf.exp(-0.5 * self._log_variance)
        terms = tf.square(z_y) - tf.square(deviation) - self._log_variance
        return 0.5 * tf.reduce_sum(terms, -1)

    @property
    def _log_variance(self):
        """log(1 - r^2), exact where r is close to 1."""
        size = tf.abs(self._raw)
        return 2.0 * (math.log(2.0) - size - tf.math.softplus(-2.0 * size))
