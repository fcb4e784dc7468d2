"""Integer data under a continuous flow."""

from __future__ import annotations

import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.passes import condition_kwargs
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.core.tracing import as_written
from tfp_glow.core.validity import valid_or_nan
from tfp_glow.flow import Flow
from tfp_glow.noisy_data import NoisyData

__all__ = ["Dequantized"]

tfd = tfp.distributions


class Dequantized(NoisyData):
    """A distribution over integers 0 .. num_bins - 1 from a flow over real numbers.

    With noise u in [0, 1) and y = (x + u) / num_bins - 0.5, `log_prob` is

        log flow.prob(y) - D log(num_bins) - log q(u given x)      in nats, D values an event,

    one sample of a lower bound, in expectation, of the log-probability of x. The noise is uniform,
    q = 1, or that of a second flow, which is trained with the first to make the bound tight. With
    k samples the bound is the log of their mean probability, which rises with k to log p(x):

        log_prob(x, num_samples=k) = log(1/k sum_i flow.prob(y_i) / (num_bins^D q(u_i given x)))

    In bits per dimension the bound is -log_prob / (D log 2). `sample` gives integers.

    Args:
      flow: Distribution over events of real numbers.
      num_bins: Number of integer values.
      noise: A `Flow` on u in [0, 1], conditioned on x, centred in [-0.5, 0.5], or on nothing, such
        as `flows.dequantization_noise`; uniform noise when omitted.
      name: Name of the distribution.

    Raises:
      TypeError: If `flow` is no distribution, `noise` no `Flow`, or data are not integers.
      ValueError: If `noise` has another event shape or dtype than `flow`, or a condition of another
        size; if data are out of range. In compiled code, where no error can be raised, the
        log-probability is NaN, as it is where the noise leaves [0, 1].

    Example:

        distribution = Dequantized(flows.glow((8, 8, 1), levels=2), num_bins=17)
        distribution.bits_per_dim(digits, num_samples=16)

    References:
      Theis, van den Oord and Bethge, "A note on the evaluation of generative models",
      arXiv:1511.01844, section 3.1.
      Ho, Chen, Srinivas, Duan and Abbeel, "Flow++: Improving Flow-Based Generative Models with
      Variational Dequantization and Architecture Design", arXiv:1902.00275, section 3.1.
      Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", arXiv:1509.00519.
    """

    def __init__(
        self,
        flow: tfd.Distribution,
        num_bins: int = 256,
        *,
        noise: Flow | None = None,
        name: str = "Dequantized",
    ):
        parameters = dict(locals())
        super().__init__(flow, dtype=tf.int32, parameters=parameters, name=name)
        if noise is not None:
            _check_noise(noise, flow)
        self._num_bins = check_positive_int(num_bins, "num_bins")
        self._noise = noise

    @property
    def noise(self) -> Flow | None:
        """The flow of the noise, None where it is uniform."""
        return self._noise

    @property
    def num_bins(self) -> int:
        """Number of integer values."""
        return self._num_bins

    @property
    def initialized(self) -> bool:
        """Whether the flow's data-dependent initialization has run, and that of the noise."""
        return super().initialized and (self._noise is None or self._noise.initialized)

    def initialize(self, x, condition=None, *, force: bool = False, seed=None):
        """Initializes the flow, and that of the noise, from integers; see `Flow.initialize`."""
        seed, uniform_seed = tfp.random.split_seed(stateless_seed(seed), salt="initialize")
        if self._noise is not None and (force or not self._noise.initialized):
            x, dtype = self._checked_integers(x), self._flow.dtype
            uniform = tf.random.stateless_uniform(tf.shape(x), uniform_seed, dtype=dtype)
            self._noise.initialize(uniform, self._noise_condition(x), force=force)
        return self._flow.initialize(self.dequantize(x, seed), condition, force=force)

    @as_written
    def dequantize(self, x, seed=None):
        """y = (x + u) / num_bins - 0.5 with the noise u."""
        return self._dequantized(x, seed)[0]

    def quantize(self, y):
        """The integers whose bins hold y; values outside go to the nearest bin."""
        bins = tf.floor((y + 0.5) * self._num_bins)
        return tf.cast(tf.clip_by_value(bins, 0, self._num_bins - 1), tf.int32)

    @as_written
    def encode_and_log_prob(self, x, condition=None, *, seed=None):
        """The flow's latents of y and the bound on log p(x), in nats, of one pass of a `Flow`."""
        y, log_q = self._dequantized(x, seed)
        z, log_prob = self._flow.encode_and_log_prob(y, condition)
        return z, log_prob - self._log_bins - log_q

    @as_written
    def bits_per_dim(self, x, condition=None, *, num_samples: int = 1, seed=None):
        """-log_prob / (D log 2), one number an example, from so many samples of the noise."""
        kwargs = condition_kwargs(condition)
        log_prob = self.log_prob(x, seed=seed, num_samples=num_samples, **kwargs)
        return self.to_bits_per_dim(log_prob)

    def to_bits_per_dim(self, log_prob):
        """Bits per dimension of a log-probability in nats."""
        return -log_prob / (self.event_shape.num_elements() * math.log(2.0))

    def _call_log_prob(self, value, name, **kwargs):
        # Here, since TFP's conversion to integers would truncate arrays of floats.
        return super()._call_log_prob(self._checked_integers(value), name, **kwargs)

    def _call_prob(self, value, name, **kwargs):
        return super()._call_prob(self._checked_integers(value), name, **kwargs)

    def _log_prob(self, x, seed=None, num_samples=1, **kwargs):
        if check_positive_int(num_samples, "num_samples") == 1:
            return self._one_sample(x, seed, **kwargs)
        seed = tfp.random.sanitize_seed(stateless_seed(seed), salt="importance")

        def add_sample(index, total):
            its_seed = tf.random.experimental.stateless_fold_in(seed, index)
            one = self._one_sample(x, its_seed, **kwargs)
            return index + 1, tfp.math.log_add_exp(total, one)

        # One after the other, in the memory of one.
        start = (tf.constant(1), self._one_sample(x, seed, **kwargs))
        _, total = tf.while_loop(
            lambda index, _: index < num_samples, add_sample, start, parallel_iterations=1
        )
        return total - math.log(num_samples)

    def _one_sample(self, x, seed, **kwargs):
        y, log_q = self._dequantized(x, seed)
        return self._flow.log_prob(y, **kwargs) - self._log_bins - log_q

    def _dequantized(self, x, seed) -> tuple:
        """y, and the log-density of its noise."""
        x, dtype = self._checked_integers(x), self._flow.dtype
        stateless = tfp.random.sanitize_seed(stateless_seed(seed), salt="dequantize")
        if self._noise is None:
            u, log_q = tf.random.stateless_uniform(tf.shape(x), stateless, dtype=dtype), 0.0
        else:
            u, log_q = self._drawn_noise(x, stateless)
        y = (tf.cast(x, dtype) + u) / self._num_bins - 0.5
        # No error can be raised in compiled code; an integer out of range is NaN there.
        valid = (x >= 0) & (x <= self._largest(x.dtype))
        return valid_or_nan(valid, y), log_q

    def _drawn_noise(self, x, seed) -> tuple:
        """The noise flow's u for each x, NaN where it leaves [0, 1], and its log-density."""
        e = self._noise.distribution.sample(self._batch_of(x), seed=seed)
        u, log_q = self._noise.decode_and_log_prob(e, self._noise_condition(x))
        return valid_or_nan((u >= 0.0) & (u <= 1.0), u), log_q

    def _noise_condition(self, x):
        """x in [-0.5, 0.5], in the shape that the noise flow reads."""
        shape = self._noise.condition_shape
        if shape is None:
            return None
        centred = (tf.cast(x, self._flow.dtype) + 0.5) / self._num_bins - 0.5
        return tf.reshape(centred, tf.concat([self._batch_of(x), shape], 0))

    def _batch_of(self, x):
        """The shape of the batch of x."""
        return tf.shape(x)[: x.shape.rank - self.event_shape.rank]

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


def _check_noise(noise, flow: tfd.Distribution) -> None:
    if not isinstance(noise, Flow):
        raise TypeError(f"noise must be a Flow. Received: {noise!r}.")
    if noise.event_shape != flow.event_shape or noise.dtype != flow.dtype:
        raise ValueError(
            f"noise must have the flow's event shape {tuple(flow.event_shape)} and its dtype "
            f"{flow.dtype.name}. Received: {tuple(noise.event_shape)} and {noise.dtype.name}."
        )
    shape = noise.condition_shape
    size = None if shape is None else len(shape) and math.prod(shape)  # Class ids have no size.
    if size not in (None, flow.event_shape.num_elements()):
        raise ValueError(
            f"noise must have a condition of {flow.event_shape.num_elements()} values, those of x, "
            f"or none. Received: a condition of shape {shape}."
        )
