"""A learned mean and scale of each value, which can depend on a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.actnorm import mean_and_log_std
from tfp_glow.core.amortized import AmortizedBijector

__all__ = ["DiagonalAffine"]

BOUND = 7.0


class DiagonalAffine(AmortizedBijector):
    """Maps standard normal noise to a normal with a mean and a scale of its own for each value.

        forward:  x = mean + exp(log_scale) * z       log|det dx/dz| =  sum(log_scale)
        inverse:  z = (x - mean) * exp(-log_scale)    log|det dz/dx| = -sum(log_scale)

    with log_scale = 7 tanh(raw / 7). Mean and raw are variables, which start at zero, plus what a
    network gives for the condition: with an encoder's features as that, x is the posterior
    of a variational autoencoder, N(mean(c), diag(exp(log_scale(c)))^2).

    Without a network `initialize` sets mean and scale from data, as `ActNorm` does; a scale beyond
    the bounds is set to it. With one it leaves all as it is.

    Args:
      channels: Size of the last dimension.
      network: A network, or a factory of one, from the condition to the means and raw
        log-scales; see `AmortizedBijector`.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., channels]` both ways, the log-det `[...]`.

    Raises:
      ValueError, TypeError: If only one of `network` and `condition_shape` is given, `channels` is
        no positive int, or a value has other channels.

    Example:

        network = functools.partial(MLP, hidden_units=())
        posterior = DiagonalAffine(40, network=network, condition_shape=(300,))
        x = posterior.forward(tf.random.normal([8, 40]), condition=features)

    References:
      Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114, section 3.
    """

    def __init__(
        self,
        channels: int,
        *,
        network: Callable | None = None,
        condition_shape: Iterable[int] | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(channels, network, condition_shape=condition_shape, dtype=dtype, name=name)
        self.mean = self.add_variable(np.zeros(channels), name="mean")
        self.raw = self.add_variable(np.zeros(channels), name="raw")
        if network is None:
            self.add_flag()
        self.amortize([self.mean, self.raw])

    def _forward_and_log_det(self, z, condition=None):
        mean, log_scale = self._mean_and_log_scale(condition)
        x = mean + tf.exp(log_scale) * z
        return x, self.full_log_det(x, tf.reduce_sum(log_scale, -1))

    def _inverse_and_log_det(self, x, condition=None):
        mean, log_scale = self._mean_and_log_scale(condition)
        z = (x - mean) * tf.exp(-log_scale)
        return z, self.full_log_det(z, -tf.reduce_sum(log_scale, -1))

    def _mean_and_log_scale(self, condition):
        mean, raw = self.parameters_at(condition)
        return mean, BOUND * tf.tanh(raw / BOUND)

    def _initialize(self, x, condition=None):
        if condition is None:
            mean, log_std = mean_and_log_std(x)
            self.mean.assign(mean)
            self.raw.assign(BOUND * tf.atanh(tf.clip_by_value(log_std / BOUND, -0.999, 0.999)))
        return self._inverse_and_log_det(x, condition)[0]
