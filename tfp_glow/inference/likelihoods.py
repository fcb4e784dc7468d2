"""Likelihoods of variational autoencoders: what a decoder's output says of the data."""

from __future__ import annotations

import abc
import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_choice, check_positive_int

__all__ = ["LIKELIHOODS", "Likelihood", "get_likelihood"]

tfd = tfp.distributions

# Of log-scales, in units of the data: a scale that fell to 0 would make a density infinite.
BOUND = 7.0


class Likelihood(abc.ABC):
    """p(x|z) of values that are independent given z, from the decoder's output `raw`.

    Attributes:
      parameters_per_channel: Channels of the decoder for each channel of the data.
      contents: What data must hold, in words.
      num_bins: Number of integers of which data are one, None for real numbers.
    """

    parameters_per_channel: int
    contents: str
    num_bins: int | None = None

    @abc.abstractmethod
    def distribution(self, raw) -> tfd.Distribution:
        """A batch of scalars in the shape of the data."""

    @abc.abstractmethod
    def center(self, raw):
        """The mean of x, or its median where that alone has a closed form."""

    @abc.abstractmethod
    def are_valid(self, x):
        """Which values, of an array or a tensor, can be data."""

    def sample(self, raw, seed):
        """Data drawn given z."""
        x = self.distribution(raw).sample(seed=seed)
        return x if self.num_bins is None else tf.cast(x, tf.int32)

    def for_encoder(self, x):
        """Data as the encoder sees them."""
        return x

    def log_prob(self, raw, x, *, event_ndims: int):
        """log p(x|z) in nats, NaN where x cannot be data, for code that cannot raise."""
        valid = self.are_valid(x)
        log_prob = self.distribution(raw).log_prob(tf.where(valid, x, tf.zeros_like(x)))
        log_prob = tf.where(valid, log_prob, tf.constant(math.nan, log_prob.dtype))
        return tf.reduce_sum(log_prob, list(range(-event_ndims, 0)))

    def check(self, x) -> None:
        """Raises ValueError where an array holds what cannot be data."""
        if isinstance(x, np.ndarray) and not np.all(self.are_valid(x)):
            raise ValueError(
                f"x must hold {self.contents}. "
                f"Received: values from {np.min(x)} to {np.max(x)}, dtype {x.dtype}."
            )


class Bernoulli(Likelihood):
    """P(x = 1) = sigmoid(raw)."""

    parameters_per_channel = 1
    contents = "zeros and ones alone, which pixels become by x > 127"
    num_bins = 2

    def distribution(self, raw):
        return tfd.Bernoulli(logits=raw, dtype=raw.dtype)

    def center(self, raw):
        return tf.sigmoid(raw)

    def are_valid(self, x):
        return (x == 0) | (x == 1)


class Normal(Likelihood):
    """x ~ N(loc, scale^2) with raw = [loc, log(scale)] along the channels."""

    parameters_per_channel = 2
    contents = "finite numbers"

    def distribution(self, raw):
        return tfd.Normal(*_loc_and_scale(raw))

    def center(self, raw):
        return _loc_and_scale(raw)[0]

    def are_valid(self, x):
        return abs(x) < math.inf


class DiscretizedLogistic(Likelihood):
    """x is the integer nearest to a logistic variable, within 0 .. num_bins - 1.

    Of raw = [loc, log(scale)] a loc of -1/2 is below the first integer and 1/2 above the last, as
    `Dequantized` has them.
    """

    parameters_per_channel = 2

    def __init__(self, num_bins: int):
        self.num_bins = num_bins
        self.contents = f"integers from 0 to {num_bins - 1}"

    def distribution(self, raw):
        loc, scale = _loc_and_scale(raw)
        # Rounding up is TFP's; a logistic half an integer lower rounds to the nearest.
        logistic = tfd.Logistic(self._in_bins(loc) - 0.5, self.num_bins * scale)
        last = tf.constant(self.num_bins - 1, raw.dtype)
        return tfd.QuantizedDistribution(logistic, low=tf.zeros_like(last), high=last)

    def center(self, raw):
        nearest = tf.floor(self._in_bins(_loc_and_scale(raw)[0]) + 0.5)
        return tf.cast(tf.clip_by_value(nearest, 0, self.num_bins - 1), tf.int32)

    def are_valid(self, x):
        return (x >= 0) & (x < self.num_bins) & (x % 1 == 0)

    def for_encoder(self, x):
        return (x + 0.5) / self.num_bins - 0.5

    def _in_bins(self, loc):
        return (loc + 0.5) * self.num_bins - 0.5


LIKELIHOODS = ("bernoulli", "discretized_logistic", "normal")


def get_likelihood(name: str, num_bins: int | None) -> Likelihood:
    """The likelihood of that name.

    Raises:
      ValueError, TypeError: If there is none, or `num_bins` is missing or means nothing to it.
    """
    check_choice(name, LIKELIHOODS, "likelihood")
    if name == "discretized_logistic":
        check_positive_int(num_bins, "num_bins", least=2)
        return DiscretizedLogistic(num_bins)
    if num_bins is not None:
        raise ValueError(
            f"num_bins means nothing to the likelihood {name!r}. Received: {num_bins!r}."
        )
    return Bernoulli() if name == "bernoulli" else Normal()


def _loc_and_scale(raw):
    loc, log_scale = tf.split(raw, 2, axis=-1)
    return loc, tf.exp(BOUND * tf.tanh(log_scale / BOUND))
