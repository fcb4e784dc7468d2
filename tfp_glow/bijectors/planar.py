"""The planar flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tfp_glow.core.amortized import AmortizedBijector
from tfp_glow.core.constants import SOFTPLUS_INVERSE_OF_ONE
from tfp_glow.core.randomness import random_generator
from tfp_glow.solvers.roots import solve_for_latent

__all__ = ["Planar"]


class Planar(AmortizedBijector):
    """Pushes the latents along one direction, by how far they lie along another.

        forward:  x = z + u' tanh(w.z + b)       log|det dx/dz| = log(1 + (1 - tanh^2) w.u')
        inverse:  z = x - u' tanh(s + b)         log|det dz/dx| = the negative at that z

    with u' = u + (softplus(w.u) - 1 - w.u) w / |w|^2, for which w.u' > -1, so that the map is
    invertible. s = w.z is the one root of s + w.u' tanh(s + b) = w.x, found to the dtype's
    precision, with derivatives by the implicit function theorem.

    Args:
      channels: Size of the last dimension.
      network: A network, or a factory of one, from the condition to the parameters; see
        `AmortizedBijector`.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      seed: Seed of w and u.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., channels]` both ways, the log-det `[...]`.

    Raises:
      ValueError, TypeError: If only one of `network` and `condition_shape` is given, `channels` is
        no positive int, or a value has other channels.

    Example:

        flow = Repeat(lambda: Planar(2), depth=16)
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
        generator = random_generator(seed)
        w = generator.standard_normal(channels)
        w /= np.linalg.norm(w)
        self.w = self.add_variable(w, name="w")
        # Where w.u has this value, u' has none of w: the map begins near the identity.
        u = SOFTPLUS_INVERSE_OF_ONE * w + 0.1 * generator.standard_normal(channels)
        self.u = self.add_variable(u, name="u")
        self.b = self.add_variable(np.zeros([]), name="b")
        self.amortize([self.w, self.u, self.b])

    def _forward_and_log_det(self, z, condition=None):
        w, u, b, along = self._direction(condition)
        tanh = tf.tanh(_dot(z, w) + b)
        log_det = tf.math.log1p((1.0 - tanh**2) * along)
        return z + u * tanh[..., tf.newaxis], log_det

    def _inverse_and_log_det(self, x, condition=None):
        w, u, b, along = self._direction(condition)
        s = solve_for_latent(_dot(x, w), along, tf.ones_like(along), b)
        tanh = tf.tanh(s + b)
        log_det = tf.math.log1p((1.0 - tanh**2) * along)
        return x - u * tanh[..., tf.newaxis], -log_det

    def _direction(self, condition):
        """w, the u' that keeps the map invertible, b, and w.u'."""
        w, u, b = self.parameters_at(condition)
        product = _dot(u, w)
        along = tf.nn.softplus(product) - 1.0
        squared = tf.maximum(_dot(w, w), tf.constant(1e-12, w.dtype))
        return w, u + ((along - product) / squared)[..., tf.newaxis] * w, b, along


def _dot(value, w):
    return tf.reduce_sum(value * w, -1)
