"""The law by the distribution function of a mixture of logistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_number, check_positive_int
from tfp_glow.core.validity import valid_or_nan
from tfp_glow.laws.layout import parameters_of_values

__all__ = ["LogisticMixture"]

# Each doubles the orders of derivatives that are right: after two, up to the third.
NEWTON_STEPS = 2


@dataclass(frozen=True)
class LogisticMixture:
    """The logit of a mixture's distribution function, scaled and shifted.

        z = logit(F(x)) exp(a) + b,   F(x) = sum_k pi_k sigmoid((x - mu_k) / s_k)

    `raw` holds, for each channel, the logits of pi, the mu, the log s, and a and b. Zeros
    give components of width 1 spread over [-1, 1], which is close to the identity; were they all at
    0, as the identity has them, they would all learn the same.

    Both tails are computed from logs of F and 1 - F, so that z goes on in straight lines, with
    the slope of the widest component, where F rounds to 0 or 1. `forward` finds x between the
    least and the largest of mu_k + s_k u, u = logit(F(x)), where it always lies, by
    Chandrupatla's method; it is NaN where that leaves u unmet. Its derivatives are the implicit
    function's.

    Attributes:
      components: Number of logistics.
      bound: Of the absolute values of a and of each log s_k.

    References:
      Ho, Chen, Srinivas, Duan and Abbeel, "Flow++: Improving Flow-Based Generative Models with
      Variational Dequantization and Architecture Design", arXiv:1902.00275, section 3.2.
    """

    components: int = 8
    bound: float = 2.0

    def __post_init__(self):
        check_positive_int(self.components, "components")
        check_number(self.bound, "bound", above=0)

    @property
    def parameters_per_channel(self) -> int:
        """Weights, places and widths of the components, a scale and a shift."""
        return 3 * self.components + 2

    def inverse(self, x, raw):
        mixture, log_scale, shift = self._parameters(raw, x)
        logit, slope = mixture.logit_and_slope(x)
        return logit * tf.exp(log_scale) + shift, tf.math.log(slope) + log_scale

    def forward(self, z, raw):
        mixture, log_scale, shift = self._parameters(raw, z)
        x = mixture.solve((z - shift) * tf.exp(-log_scale))
        return x, -tf.math.log(mixture.logit_and_slope(x)[1]) - log_scale

    def _parameters(self, raw, value):
        """The mixture of each value, and its a and b."""
        raw = parameters_of_values(raw, value, self.parameters_per_channel)
        sizes = [self.components] * 3 + [1, 1]
        weights, means, log_widths, log_scale, shift = tf.split(raw, sizes, axis=-1)
        spread = tf.linspace(tf.constant(-1.0, raw.dtype), 1.0, self.components)
        mixture = _Mixture(
            tf.nn.log_softmax(weights), means + spread, tf.exp(self._bounded(log_widths))
        )
        return mixture, self._bounded(log_scale)[..., 0], shift[..., 0]

    def _bounded(self, value):
        return self.bound * value / (self.bound + tf.abs(value))


@dataclass(frozen=True)
class _Mixture:
    """A mixture of logistics for each value, along a last dimension."""

    log_weights: tf.Tensor
    means: tf.Tensor
    widths: tf.Tensor

    def logit_and_slope(self, x):
        """logit(F(x)) and its derivative by x."""
        t = (x[..., tf.newaxis] - self.means) / self.widths
        below = self.log_weights + tf.math.log_sigmoid(t)
        above = self.log_weights + tf.math.log_sigmoid(-t)
        logit = tf.reduce_logsumexp(below, -1) - tf.reduce_logsumexp(above, -1)
        # F' / F + F' / (1 - F), without a difference that would lose the tails.
        rates = tf.nn.softmax(below) * tf.sigmoid(-t) + tf.nn.softmax(above) * tf.sigmoid(t)
        return logit, tf.reduce_sum(rates / self.widths, -1)

    def solve(self, logit):
        """The x with logit(F(x)) as given."""
        constant = _Mixture(*map(tf.stop_gradient, vars(self).values()))
        x = tf.stop_gradient(constant._bracketed(tf.stop_gradient(logit)))
        for _ in range(NEWTON_STEPS):
            reached, slope = self.logit_and_slope(x)
            x -= (reached - logit) / slope
        return valid_or_nan(self._meets(logit, x), x)

    def _bracketed(self, logit):
        ends = self.means + self.widths * logit[..., tf.newaxis]
        tolerance = tf.constant(4 * np.finfo(logit.dtype.as_numpy_dtype).eps, logit.dtype)
        return tfp.math.find_root_chandrupatla(
            lambda x: self.logit_and_slope(x)[0] - logit,
            tf.reduce_min(ends, -1),
            tf.reduce_max(ends, -1),
            position_tolerance=tolerance,
            max_iterations=100,
        ).estimated_root

    def _meets(self, logit, x):
        """Whether x is a root, up to what rounding makes of x, of the means and of the logit."""
        reached, slope = self.logit_and_slope(x)
        size = 1.0 + tf.abs(x) + tf.reduce_max(tf.abs(self.means), -1)
        rounding = 64 * np.finfo(x.dtype.as_numpy_dtype).eps
        return tf.abs(reached - logit) <= rounding * (size * slope + 1.0 + tf.abs(logit))
