"""One bin of a monotone rational-quadratic spline."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

__all__ = ["Bin", "bin_index"]


@dataclass(frozen=True)
class Bin:
    """From the knot (x, z) to (x + width, z + height), with the slopes there. All may be tensors.

    Reference:
      Gregory and Delbourgo, "Piecewise Rational Quadratic Interpolation to Monotonic Data",
      IMA Journal of Numerical Analysis 2(2), 1982.
    """

    x: tf.Tensor
    width: tf.Tensor
    z: tf.Tensor
    height: tf.Tensor
    slope: tf.Tensor
    next_slope: tf.Tensor

    def evaluate(self, t):
        """z, and log dz/dx, at a fraction t of the bin."""
        # Rounding can bring t past the end of a narrow bin, where the formula may fall below 0.
        t = tf.clip_by_value(t, 0.0, 1.0)
        mean_slope, curvature, inner = *self._shape, t * (1 - t)
        denominator = mean_slope + curvature * inner
        numerator = self.height * (mean_slope * t**2 + self.slope * inner)
        slope = self.next_slope * t**2 + 2 * mean_slope * inner + self.slope * (1 - t) ** 2
        log_slope = 2 * tf.math.log(mean_slope) + tf.math.log(slope) - 2 * tf.math.log(denominator)
        return self.z + numerator / denominator, log_slope

    def solve(self, z):
        """The fraction t of the bin at which the spline comes to z."""
        mean_slope, curvature = self._shape
        rise = tf.clip_by_value(z - self.z, 0.0, self.height)
        a = self.height * (mean_slope - self.slope) + rise * curvature
        b = self.height * self.slope - rise * curvature
        c = -mean_slope * rise
        # The larger root's form, 2 c / (-b - sqrt), does not cancel where a is small.
        return 2 * c / (-b - tf.sqrt(b**2 - 4 * a * c))

    @property
    def _shape(self):
        mean_slope = self.height / self.width
        return mean_slope, self.slope + self.next_slope - 2 * mean_slope


def bin_index(value, starts):
    """Which of the bins that begin at `starts` `[..., bins]` each value `[...]` lies in."""
    return tf.reduce_sum(tf.cast(value[..., tf.newaxis] >= starts[..., 1:], tf.int32), -1)
