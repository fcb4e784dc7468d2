"""The logit of bounded data."""

from __future__ import annotations

import math

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_number

__all__ = ["Logit"]


class Logit(FlowBijector):
    """The logit of values in an interval, kept off its ends.

        inverse:  z = log(p) - log(1 - p),  p = alpha + (1 - 2 alpha) (x - low) / (high - low)
                  log|dz/dx| = log((1 - 2 alpha) / (high - low)) - log(p) - log(1 - p)
        forward:  x = low + (high - low) (sigmoid(z) - alpha) / (1 - 2 alpha)

    element by element. Latents of more than logit(alpha) generate values a little outside of the
    interval. `tfb.Sigmoid` between the widened ends is the same map; in float32 those ends would be
    rounded, which leaves little of a small alpha.

    Args:
      alpha: What is left free at both ends, as a share of the interval.
      low: Lower end of the interval.
      high: Upper end.
      dtype: dtype of the values, or None for any.
      name: Name of the bijector.

    Shapes: `[...]` both ways, the log-det `[...]` too.

    Raises:
      ValueError: If alpha does not lie between 0 and 0.5, or low not below high. Data outside
        of the interval widened by alpha have density 0: the log-det is minus infinity.

    Example:

        z = Logit(1e-6, low=-0.5, high=0.5).inverse(images)

    References:
      Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv:1605.08803,
      section 4.1.
    """

    def __init__(
        self,
        alpha: float = 0.05,
        *,
        low: float = 0.0,
        high: float = 1.0,
        dtype: str | None = None,
        name: str | None = None,
    ):
        check_number(alpha, "alpha", above=0, below=0.5)
        check_number(low, "low")
        check_number(high, "high")
        if not low < high:
            raise ValueError(f"low must be below high. Received: low={low}, high={high}.")
        super().__init__(forward_min_event_ndims=0, dtype=dtype, name=name)
        self._alpha, self._low = alpha, low
        self._slope = (1 - 2 * alpha) / (high - low)

    def _inverse_and_log_det(self, x, condition=None):
        p = self._alpha + self._slope * (x - self._low)
        inside = (p > 0.0) & (p < 1.0)
        p = tf.where(inside, p, 0.5)
        log_p, log_rest = tf.math.log(p), tf.math.log1p(-p)
        log_det = self._log_slope(x) - log_p - log_rest
        return log_p - log_rest, tf.where(inside, log_det, tf.math.log(tf.cast(inside, p.dtype)))

    def _forward_and_log_det(self, z, condition=None):
        x = self._low + (tf.sigmoid(z) - self._alpha) / self._slope
        # The logs of sigmoid(z) and of 1 - sigmoid(z), also where they round to 0 and 1.
        log_p, log_rest = tf.math.log_sigmoid(z), tf.math.log_sigmoid(-z)
        return x, log_p + log_rest - self._log_slope(z)

    def _log_slope(self, value):
        return tf.constant(math.log(self._slope), value.dtype)
