"""Gaussian noise in training, and one step of denoising behind sampling."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_number
from tfp_glow.core.passes import condition_kwargs
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.core.tracing import as_written
from tfp_glow.noisy_data import NoisyData

__all__ = ["Noised", "denoise"]

tfd = tfp.distributions


class Noised(NoisyData):
    """Data that a flow learns with Gaussian noise, and samples that it denoises.

        log_prob(x) = log flow.prob(x + sigma * e),   e ~ N(0, I)     in nats
        sample      = denoise(y),                     y ~ flow

    Noise of some width makes a flow learn what lies beside the data too, where its samples are;
    pictures get better by it than by the uniform noise of `Dequantized`, which is right for
    likelihoods.

    Args:
      flow: Distribution over events of real numbers.
      sigma: Standard deviation of the noise, in the units of the data.
      name: Name of the distribution.

    Raises:
      TypeError: If `flow` is no distribution.
      ValueError: If `sigma` is not above 0.

    Example:

        flow = flows.tarflow((28, 28, 1), patch_size=4, num_classes=10)
        model = FlowModel(Noised(flow, sigma=0.05))
        model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0))
        model.fit(images / 127.5 - 1, labels)
        pictures = model.distribution.sample(10, condition=range(10), guidance=1.0)

    References:
      Zhai et al., "Normalizing Flows are Capable Generative Models", arXiv:2412.06329, sections
      2.4 and 2.5.
    """

    def __init__(self, flow: tfd.Distribution, sigma: float = 0.05, *, name: str = "Noised"):
        parameters = dict(locals())
        super().__init__(flow, dtype=getattr(flow, "dtype", None), parameters=parameters, name=name)
        self._sigma = check_number(sigma, "sigma", above=0)

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise."""
        return self._sigma

    def initialize(self, x, condition=None, *, force: bool = False, seed=None):
        """Initializes the flow from a batch with noise; see `Flow.initialize`."""
        return self._flow.initialize(self.with_noise(x, seed), condition, force=force)

    @as_written
    def with_noise(self, x, seed=None):
        """x + sigma * e with e standard normal."""
        x = tf.convert_to_tensor(x, dtype_hint=self.dtype)
        stateless = tfp.random.sanitize_seed(stateless_seed(seed), salt="noised")
        return x + self._sigma * tf.random.stateless_normal(tf.shape(x), stateless, dtype=x.dtype)

    @as_written
    def encode_and_log_prob(self, x, condition=None, *, seed=None):
        """The flow's latents of noisy data and their log-density, in nats, of one pass."""
        return self._flow.encode_and_log_prob(self.with_noise(x, seed), condition)

    def _log_prob(self, x, seed=None, **kwargs):
        return self._flow.log_prob(self.with_noise(x, seed), **kwargs)

    def _call_sample_n(self, sample_shape, seed, condition=None, **kwargs):
        kwargs |= condition_kwargs(condition)
        y = self._flow.sample(sample_shape, seed=seed, **kwargs)
        return denoise(self._flow, y, sigma=self._sigma, condition=condition)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None) -> dict:
        return {"flow": tfp.util.ParameterProperties(event_ndims=None)}


@as_written
def denoise(flow: tfd.Distribution, x, *, sigma: float, condition=None) -> tf.Tensor:
    """The mean of clean data given noisy ones, by Tweedie's formula.

        E[clean | x] = x + sigma**2 * grad_x log p(x)

    where x = clean + sigma * noise, and p is the density of the noisy data, which the flow has
    learned.

    Args:
      flow: Distribution of noisy data.
      x: `[..., *event]`, noisy data, such as samples of the flow.
      sigma: Standard deviation of the noise that the flow was trained with.
      condition: What the flow is conditioned on, where it takes a condition.

    Returns:
      Data in the shape of `x`.

    Raises:
      TypeError: If `flow` is no distribution.
      ValueError: If `sigma` is below 0.

    Example:

        pictures = denoise(flow, flow.sample(16, seed=1), sigma=0.05)

    References:
      Efron, "Tweedie's Formula and Selection Bias", JASA 106, 2011.
      Zhai et al., "Normalizing Flows are Capable Generative Models", arXiv:2412.06329, section 2.5.
    """
    if not isinstance(flow, tfd.Distribution):
        raise TypeError(f"flow must be a distribution. Received: {flow!r}.")
    check_number(sigma, "sigma", least=0)
    x = tf.identity(tf.convert_to_tensor(x, dtype_hint=flow.dtype))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        log_prob = flow.log_prob(x, **condition_kwargs(condition))
    return x + sigma**2 * tape.gradient(log_prob, x)
