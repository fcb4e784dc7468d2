"""A learned scale for each value."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.actnorm import mean_and_log_std
from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_number

__all__ = ["DiagonalScaling"]


class DiagonalScaling(FlowBijector):
    """A learned positive factor for each channel, the last layer of NICE.

        inverse:  z = x * exp(log_scale)       log|det dz/dx| =  sum(log_scale)
        forward:  x = z * exp(-log_scale)      log|det dx/dz| = -sum(log_scale)

    `initialize` makes the standard deviation of every channel of its latents `std`, where the paper
    starts from factors of 1, as it does until then. A channel whose standard deviation is below
    1e-6 counts as one of deviation 1.

    Args:
      channels: Size of the last dimension.
      std: What `initialize` aims at, which is that of the prior of the latents.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., channels]` both ways, the log-det `[...]`.

    Raises:
      ValueError, TypeError: If `channels` is no positive int, `std` no positive number, or a value
        has other channels.

    Example:

        scaling = DiagonalScaling(784)

    References:
      Dinh, Krueger and Bengio, "NICE: Non-linear Independent Components Estimation",
      arXiv:1410.8516, section 3.3.
    """

    def __init__(
        self,
        channels: int,
        *,
        std: float = 1.0,
        dtype: str = "float32",
        name: str | None = None,
    ):
        self._log_std = math.log(check_number(std, "std", above=0))
        super().__init__(
            forward_min_event_ndims=1,
            channels=channels,
            dtype=dtype,
            is_constant_jacobian=True,
            name=name,
        )
        self.log_scale = self.add_variable(np.zeros(channels), name="log_scale")
        self.add_flag()

    def _forward_and_log_det(self, z, condition=None):
        return self._scaled(z, -self.log_scale)

    def _inverse_and_log_det(self, x, condition=None):
        return self._scaled(x, tf.convert_to_tensor(self.log_scale))

    def _scaled(self, value, log_scale):
        return value * tf.exp(log_scale), self.full_log_det(value, tf.reduce_sum(log_scale))

    def _initialize(self, x, condition=None):
        self.log_scale.assign(self._log_std - mean_and_log_std(x)[1])
        return self._inverse_and_log_det(x)[0]
