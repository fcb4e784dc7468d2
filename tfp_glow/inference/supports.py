"""Where the densities of TFP and its default bijectors to their supports do not go together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.compat import TransformedDistribution, latent_distributions

__all__ = ["SimplexVolume", "check_support", "simplex_sizes"]

tfb, tfd = tfp.bijectors, tfp.distributions

_SIMPLICES = (tfd.Dirichlet, tfd.ExpRelaxedOneHotCategorical, tfd.RelaxedOneHotCategorical)
_OF_SPHERES = "reaches positive values alone"
_UNFIT = {
    tfd.LKJ: "has not the log-det of correlation matrices; take tfd.CholeskyLKJ",
    tfd.PowerSpherical: _OF_SPHERES,
    tfd.SphericalUniform: _OF_SPHERES,
    tfd.VonMisesFisher: _OF_SPHERES,
}


def check_support(distribution: tfd.Distribution, latent: str) -> None:
    """Raises where TFP's bijector misses a part of the support, or its log-det is wrong."""
    for inner in _inside(distribution):
        check_support(inner, latent)
    for kind, fault in _UNFIT.items():
        if isinstance(distribution, kind):
            raise ValueError(
                f"{latent} must have a bijector to its support, of which TFP's {fault}. "
                f"Received: {kind.__name__}."
            )


def simplex_sizes(distribution: tfd.Distribution) -> list[int]:
    """The number of values of each simplex in an event."""
    if isinstance(distribution, _SIMPLICES):
        return [distribution.event_shape[-1]]
    inside = _inside(distribution)
    sizes = [size for inner in inside for size in simplex_sizes(inner)]
    one_each = isinstance(distribution, TransformedDistribution | tfd.JointDistribution)
    copies = 1 if one_each or not sizes else _size(distribution) // _size(inside[0])
    return sizes * copies


class SimplexVolume(tfb.Bijector):
    """The identity of vectors, with the log-det that `tfb.SoftmaxCentered` has too much.

        forward(u) = u,   log|det| = - 1/2 sum_i log K_i

    It measures a simplex of K values as a surface in K dimensions, sqrt(K) times the volume of its
    first K - 1 values, in which the densities of TFP are.

    Args:
      sizes: The number of values K of each simplex.
    """

    def __init__(self, sizes: Sequence[int]):
        parameters = {"sizes": sizes}
        self._log_volume = 0.5 * sum(map(math.log, sizes))
        super().__init__(
            forward_min_event_ndims=1,
            is_constant_jacobian=True,
            parameters=parameters,
            name="simplex_volume",
        )

    def _forward(self, x):
        return x

    def _inverse(self, y):
        return y

    def _forward_log_det_jacobian(self, x):
        return tf.constant(-self._log_volume, x.dtype)


def _inside(distribution: tfd.Distribution) -> list[tfd.Distribution]:
    """The distributions that one is made of."""
    if isinstance(distribution, tfd.JointDistribution):
        return list(latent_distributions(distribution).values())
    inner = getattr(distribution, "distribution", None)
    return [] if inner is None else [inner]


def _size(distribution: tfd.Distribution) -> int:
    shapes = map(tf.TensorShape, tf.nest.flatten(distribution.event_shape))
    return sum(shape.num_elements() for shape in shapes)
