"""Integer data under a continuous flow."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.passes import condition_kwargs
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.core.tracing import as_written
from tfp_glow.noisy_data import NoisyData

__all__ = ["Dequantized"]

tfd = tfp.distributions


class Dequantized(NoisyData):
    """A distribution over integers 0 .. num_bins - 1 from a flow over real numbers.

    With uniform noise u in [0, 1) and y = (x + u) / num_bins - 0.5, `log_prob` is

        log flow.prob(y) - D log(num_bins)      in nats, D values an event,

    one sample of a lower bound, in expectation, of the log-probability of x. In bits per
    dimension the bound is -log_prob / (D log 2). `sample` gives integers.

    Args:
      flow: Distribution over events of real numbers.
      num_bins: Number of integer values.
      name: Name of the distribution.

    Raises:
      TypeError: If `flow` is no distribution, or data are not integers.
      ValueError: If data are out of range. In compiled code, where no error can be raised, the
        log-probability is NaN.

    Example:

        distribution = Dequantized(flows.glow((8, 8, 1), levels=2), num_bins=17)
        distribution.bits_per_dim(digits)

    References:
      Theis, van den Oord and Bethge, "A note on the evaluation of generative models",
      arXiv:1511.01844, section 3.1.
    """

    def __init__(self, flow: tfd.Distribution, num_bins: int = 256, *, name: str = "Dequantized"):
        parameters = dict(locals())
        super().__init__(flow, dtype=tf.int32, parameters=parameters, name=name)
        self._num_bins = check_positive_int(num_bins, "num_bins")

    @property
    def num_bins(self) -> int:
        """Number of integer values."""
        return self._num_bins

    def initialize(self, x, condition=None, *, force: bool = False):
        """Initializes the flow from a batch of integers; see `Flow.initialize`."""
        return self._flow.initialize(self.dequantize(x), condition, force=force)

    @as_written
    def dequantize(self, x, seed=None):
        """y = (x + u) / num_bins - 0.5 with u uniform in [0, 1)."""
        x = self._checked_integers(x)
        dtype = self._flow.dtype
        stateless = tfp.random.sanitize_seed(stateless_seed(seed), salt="dequantize")
        noise = tf.random.stateless_uniform(tf.shape(x), stateless, dtype=dtype)
        y = (tf.cast(x, dtype) + noise) / self._num_bins - 0.5
        # No error can be raised in compiled code; an integer out of range is NaN there.
        valid = (x >= 0) & (x <= self._largest(x.dtype))
        return tf.where(valid, y, tf.constant(np.nan, dtype))

    def quantize(self, y):
        """The integers whose bins hold y; values outside go to the nearest bin."""
        bins = tf.floor((y + 0.5) * self._num_bins)
        return tf.cast(tf.clip_by_value(bins, 0, self._num_bins - 1), tf.int32)

    @as_written
    def encode_and_log_prob(self, x, condition=None, *, seed=None):
        """The flow's latents of y and the bound on log p(x), in nats, of one pass of a `Flow`."""
        y = self.dequantize(x, seed)
        z, log_prob = self._flow.encode_and_log_prob(y, condition)
        return z, log_prob - self._log_bins

    @as_written
    def bits_per_dim(self, x, condition=None, *, seed=None):
        """-log_prob / (D log 2), one number an example."""
        kwargs = condition_kwargs(condition)
        return self.to_bits_per_dim(self.log_prob(x, seed=seed, **kwargs))

    def to_bits_per_dim(self, log_prob):
        """Bits per dimension of a log-probability in nats."""
        return -log_prob / (self.event_shape.num_elements() * math.log(2.0))

    def _call_log_prob(self, value, name, **kwargs):
        # Here, since TFP's conversion to integers would truncate arrays of floats.
        return super()._call_log_prob(self._checked_integers(value), name, **kwargs)

    def _call_prob(self, value, name, **kwargs):
        return super()._call_prob(self._checked_integers(value), name, **kwargs)

    def _log_prob(self, x, seed=None, **kwargs):
        return self._flow.log_prob(self.dequantize(x, seed), **kwargs) - self._log_bins

    @property
    def _log_bins(self) -> float:
        """D log(num_bins), by which a density of y exceeds the probability of x."""
        return self.event_shape.num_elements() * math.log(self._num_bins)

    def _call_sample_n(self, sample_shape, seed, **kwargs):
        return self.quantize(self._flow.sample(sample_shape, seed=seed, **kwargs))

    def _checked_integers(self, x):
        x = tf.convert_to_tensor(x)
        if not x.dtype.is_integer:
            raise TypeError(
                f"x must hold integers from 0 to {self._num_bins - 1}. Received: dtype "
                f"{x.dtype.name}; real numbers go to the flow itself."
            )
        if tf.executing_eagerly() and tf.size(x):
            smallest, largest = int(tf.reduce_min(x)), int(tf.reduce_max(x))
            if smallest < 0 or largest >= self._num_bins:
                raise ValueError(
                    f"x must hold integers from 0 to {self._num_bins - 1}. "
                    f"Received: values from {smallest} to {largest}."
                )
        return x

    def _largest(self, dtype: tf.DType) -> int:
        return min(self._num_bins - 1, dtype.max)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None) -> dict:
        return {"flow": tfp.util.ParameterProperties(event_ndims=None)}
