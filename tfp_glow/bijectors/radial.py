"""The radial flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tfp_glow.core.amortized import AmortizedBijector
from tfp_glow.core.randomness import random_generator

__all__ = ["Radial"]


class Radial(AmortizedBijector):
    """Contracts or expands around a center.

        forward:  x = z + beta (z - c) / (alpha + r),  r = |z - c|
                  log|det dx/dz| = (channels - 1) log(1 + beta / (alpha + r))
                                   + log(1 + alpha beta / (alpha + r)^2)
        inverse:  z = c + (x - c) / (1 + beta / (alpha + r)),
                  r = (y - alpha - beta + sqrt((y - alpha - beta)^2 + 4 alpha y)) / 2,  y = |x - c|

    with alpha = softplus(a) > 0 and beta = softplus(b) - alpha > -alpha, for which the map is
    invertible. It starts as the identity.

    Args:
      channels: Size of the last dimension.
      network: A network, or a factory of one, from the condition to the parameters; see
        `AmortizedBijector`.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      seed: Seed of the center.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., channels]` both ways, the log-det `[...]`.

    Raises:
      ValueError, TypeError: If only one of `network` and `condition_shape` is given, `channels` is
        no positive int, or a value has other channels.

    Example:

        flow = Repeat(lambda: Radial(2), depth=16)
        z = flow.inverse(x)

    References:
      Rezende and Mohamed, "Variational Inference with Normalizing Flows", arXiv:1505.05770,
      section 4.1 and appendix A.
    """

    def __init__(
        self,
        channels: int,
        *,
        network: Callable | None = None,
        condition_shape: Iterable[int] | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(channels, network, condition_shape=condition_shape, dtype=dtype, name=name)
        center = random_generator(seed).standard_normal(channels)
        self.center = self.add_variable(center, name="center")
        # beta begins at 0, and alpha at 0.31: bumps narrower than a normal.
        self.a = self.add_variable(np.full([], -1.0), name="a")
        self.b = self.add_variable(np.full([], -1.0), name="b")
        self.amortize([self.center, self.a, self.b])

    def _forward_and_log_det(self, z, condition=None):
        center, alpha, beta = self._center_and_shape(condition)
        radius = _norm(z - center)
        factor, log_det = self._factor_and_log_det(radius, alpha, beta)
        return center + (z - center) * factor[..., tf.newaxis], log_det

    def _inverse_and_log_det(self, x, condition=None):
        center, alpha, beta = self._center_and_shape(condition)
        reached = _norm(x - center)
        difference = reached - alpha - beta
        root = tf.sqrt(difference**2 + 4.0 * alpha * reached)
        # Of the two forms of the root, the one that does not cancel.
        safe = tf.where(difference < 0, root - difference, tf.ones_like(root))
        radius = tf.where(difference < 0, 2.0 * alpha * reached / safe, 0.5 * (difference + root))
        factor, log_det = self._factor_and_log_det(radius, alpha, beta)
        return center + (x - center) / factor[..., tf.newaxis], -log_det

    def _center_and_shape(self, condition):
        center, a, b = self.parameters_at(condition)
        alpha = tf.nn.softplus(a)
        return center, alpha, tf.nn.softplus(b) - alpha

    def _factor_and_log_det(self, radius, alpha, beta):
        pull = beta / (alpha + radius)
        channels = self.center.shape[0]
        log_det = (channels - 1) * tf.math.log1p(pull) + tf.math.log1p(
            pull * alpha / (alpha + radius)
        )
        return 1.0 + pull, log_det


def _norm(value):
    """The Euclidean norm, with gradient zero at the origin instead of NaN."""
    squared = tf.reduce_sum(value**2, -1)
    positive = squared > 0
    return tf.where(positive, tf.sqrt(tf.where(positive, squared, tf.ones_like(squared))), 0.0)
