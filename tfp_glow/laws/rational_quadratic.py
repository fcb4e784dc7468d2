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
        mean_slope, inner = self._mean_slope, t * (1 - t)
        curvature = self.slope + self.next_slope - 2 * mean_slope
        denominator = mean_slope + curvature * inner
        numerator = self.height * (mean_slope * t**2 + self.slope * inner)
        slope = self.next_slope * t**2 + 2 * mean_slope * inner + self.slope * (1 - t) ** 2
        log_slope = 2 * tf.math.log(mean_slope) + tf.math.log(slope) - 2 * tf.math.log(denominator)
        return self.z + numerator / denominator, log_slope

    def solve(self, z):
        """The fraction t of the bin at which the spline comes to z.

        The equation is quadratic in t. Here its discriminant is a sum of squares, and no two terms
        cancel in its root: where slopes at the knots differ a thousandfold from the bin's own, the
        usual b^2 - 4 a c comes out negative, and the spline NaN, or z is missed by a part of the
        bin.
        """
        mean_slope = self._mean_slope
        rise = tf.clip_by_value(z - self.z, 0.0, self.height)
        below, above = rise / self.height, (self.height - rise) / self.height
        tilt = self.slope * above - self.next_slope * below
        falls = tilt > 0
        # Not tf.abs, whose gradient at 0 is that of neither root.
        size = tf.where(falls, tilt, -tilt)
        root = size + tf.sqrt(tilt**2 + 4 * mean_slope**2 * below * above)
        up, down = 2 * mean_slope * below, 2 * mean_slope * above
        return tf.where(falls, up / (up + root), root / (root + down))

    @property
    def _mean_slope(self):
        return self.height / self.width


def bin_index(value, starts):
    """Which of the bins that begin at `starts` `[..., bins]` each value `[...]` lies in."""
    return tf.reduce_sum(tf.cast(value[..., tf.newaxis] >= starts[..., 1:], tf.int32), -1)
