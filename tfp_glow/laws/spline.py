"""The rational-quadratic spline law."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from tfp_glow.core.checks import check_number, check_positive_int
from tfp_glow.core.constants import SOFTPLUS_INVERSE_OF_ONE
from tfp_glow.laws.layout import parameters_of_values
from tfp_glow.laws.rational_quadratic import Bin, bin_index

__all__ = ["RationalQuadraticSpline"]


@dataclass(frozen=True)
class RationalQuadraticSpline:
    """A monotone rational-quadratic spline on [-bound, bound], the identity outside of it.

    In the bin from (x_k, z_k) to (x_k+1, z_k+1), with slopes d_k and d_k+1 at its knots,
    s = (z_k+1 - z_k) / (x_k+1 - x_k) and t = (x - x_k) / (x_k+1 - x_k):

        z = z_k + (z_k+1 - z_k) (s t^2 + d_k t (1 - t)) / (s + (d_k + d_k+1 - 2 s) t (1 - t))

    and `forward` solves this quadratic equation for t. `raw` holds, for each channel, `bins`
    widths, `bins` heights and `bins - 1` slopes, unconstrained; the outer slopes are 1. Zeros
    give the identity.

    It stands beside `tfb.RationalQuadraticSpline` because that one looks its bins up twice for a
    value with its log-det, and broadcasts to dynamic shapes, whose gradient XLA cannot compile
    in a loop.

    Attributes:
      bins: Number of bins.
      bound: Where the identity begins.
      least: Least width and height of a bin, as a share of them all, and least slope.

    References:
      Durkan, Bekasov, Murray and Papamakarios, "Neural Spline Flows", arXiv:1906.04032.
    """

    bins: int = 8
    bound: float = 4.0
    least: float = 1e-3

    def __post_init__(self):
        check_positive_int(self.bins, "bins", least=2)
        check_number(self.bound, "bound", above=0)
        if not 0 < self.least * self.bins < 1:
            raise ValueError(
                f"least must lie between 0 and 1 / bins = {1 / self.bins}. Received: {self.least}."
            )

    @property
    def parameters_per_channel(self) -> int:
        """The widths, heights and inner slopes of one channel."""
        return 3 * self.bins - 1

    def inverse(self, x, raw):
        knots = self._knots(x, raw)
        inside, x_in = self._clipped(x)
        bin_ = _bin_of(x_in, knots, "x")
        z, log_slope = bin_.evaluate((x_in - bin_.x) / bin_.width)
        return tf.where(inside, z, x), tf.where(inside, log_slope, tf.zeros_like(x))

    def forward(self, z, raw):
        knots = self._knots(z, raw)
        inside, z_in = self._clipped(z)
        bin_ = _bin_of(z_in, knots, "z")
        t = bin_.solve(z_in)
        log_slope = bin_.evaluate(t)[1]
        x = bin_.x + t * bin_.width
        return tf.where(inside, x, z), tf.where(inside, -log_slope, tf.zeros_like(z))

    def _clipped(self, value):
        """Whether values lie in the spline's range, and the values moved into it.

        What is computed for values outside is not used, but its gradient must be finite too.
        """
        bound = tf.constant(self.bound, value.dtype)
        return tf.abs(value) < bound, tf.clip_by_value(value, -bound, bound)

    def _knots(self, value, raw) -> Bin:
        """The bins of every value, along a last dimension."""
        raw = parameters_of_values(raw, value, self.parameters_per_channel)
        widths, heights, slopes = tf.split(raw, [self.bins, self.bins, self.bins - 1], axis=-1)
        slopes = self.least + (1 - self.least) * tf.nn.softplus(slopes + SOFTPLUS_INVERSE_OF_ONE)
        ones = tf.ones_like(slopes[..., :1])
        return Bin(
            *self._positions(widths),
            *self._positions(heights),
            tf.concat([ones, slopes], -1),
            tf.concat([slopes, ones], -1),
        )

    def _positions(self, raw):
        """Where the bins begin, and their sizes."""
        shares = self.least + (1 - self.bins * self.least) * tf.nn.softmax(raw)
        sizes = 2 * self.bound * shares
        return tf.cumsum(sizes, axis=-1, exclusive=True) - self.bound, sizes


def _bin_of(value, bins: Bin, axis: str) -> Bin:
    """The bin that each value lies in, picked by products with ones and zeros.

    These compile anywhere, where TensorFlow's gather has no gradient in a compiled loop.
    """
    starts = getattr(bins, axis)
    chosen = tf.one_hot(bin_index(value, starts), starts.shape[-1], dtype=value.dtype)
    return Bin(*(tf.reduce_sum(chosen * part, -1) for part in vars(bins).values()))
