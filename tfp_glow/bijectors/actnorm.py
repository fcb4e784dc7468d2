"""Activation normalization."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_number

__all__ = ["ActNorm", "mean_and_log_std"]

MIN_STD = 1e-6


class ActNorm(FlowBijector):
    """An affine map per channel whose first parameters come from a batch of data.

        inverse:  z = (x - shift) * exp(-log_scale)      log|det dz/dx| = -sum(log_scale)
        forward:  x = z * exp(log_scale) + shift         log|det dx/dz| =  sum(log_scale)

    The sum runs over the channels; positions of an image are further event dimensions,
    over which TFP and `Chain` sum. `initialize` sets `shift` to the mean and `log_scale` to
    the log of the standard deviation of each channel, so that every channel of its latents
    has zero mean and unit standard deviation. A channel whose standard deviation is below
    1e-6 keeps scale 1. Until then it is the identity; forward and inverse never change it.

    Args:
      channels: Size of the last dimension.
      floor: Smallest standard deviation that `initialize` takes for a channel, as a share of the
        root mean square of all. Channels that hardly vary in the first batch, as pixels at the
        border of an image, are not enlarged without bound so: one that does vary later would
        be hundreds of standard deviations away.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., channels]` both ways, the log-det `[...]`.

    Raises:
      ValueError, TypeError: If `channels` is no positive int, or a value has other channels.

    Example:

        actnorm = ActNorm(3)
        z = actnorm.initialize(images)

    References:
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039, section 3.1.
    """

    def __init__(
        self,
        channels: int,
        *,
        floor: float = 0.0,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(
            forward_min_event_ndims=1,
            channels=channels,
            dtype=dtype,
            is_constant_jacobian=True,
            name=name,
        )
        self._floor = check_number(floor, "floor", least=0, below=1)
        self.shift = self.add_variable(np.zeros(channels), name="shift")
        self.log_scale = self.add_variable(np.zeros(channels), name="log_scale")
        self.add_flag()

    def _forward_and_log_det(self, z, condition=None):
        log_det = self.full_log_det(z, tf.reduce_sum(self.log_scale))
        return z * tf.exp(self.log_scale) + self.shift, log_det

    def _inverse_and_log_det(self, x, condition=None):
        log_det = self.full_log_det(x, -tf.reduce_sum(self.log_scale))
        return (x - self.shift) * tf.exp(-self.log_scale), log_det

    def _initialize(self, x, condition=None):
        mean, log_std = mean_and_log_std(x)
        if self._floor > 0:
            log_std = tf.maximum(log_std, _log_rms(log_std) + np.log(self._floor))
        self.shift.assign(mean)
        self.log_scale.assign(log_std)
        return self._inverse_and_log_det(x)[0]


def mean_and_log_std(x):
    """The mean and log standard deviation of each channel; 0 for one that is constant."""
    mean, variance = tf.nn.moments(x, axes=list(range(x.shape.rank - 1)))
    std = tf.sqrt(variance)
    return mean, tf.math.log(tf.where(std < MIN_STD, tf.ones_like(std), std))


def _log_rms(log_std):
    return 0.5 * tf.math.log(tf.reduce_mean(tf.exp(2.0 * log_std)))
