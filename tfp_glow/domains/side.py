"""One side of a map between domains."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_number
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.denoising import Noised
from tfp_glow.dequantization import Dequantized
from tfp_glow.flow import Flow
from tfp_glow.noisy_data import NoisyData

__all__ = ["Side", "check_side"]

tfd = tfp.distributions


@dataclasses.dataclass(frozen=True)
class Side:
    """Data of one domain, and their latents in two parts: the last ones are tied, the rest not.

    Image flows order their latents from the finest level to the coarsest, so that the tied ones
    are of the coarsest levels.

    Args:
      distribution: A `Flow`, or `Dequantized` or `Noised` of one.
      argument: What the caller calls it, for errors.
      shared: Number of latents that are tied, at the end of all.
    """

    distribution: Flow | Dequantized | Noised
    argument: str
    shared: int

    @property
    def flow(self) -> Flow:
        """The flow of the real numbers."""
        found = self.distribution
        return found if isinstance(found, Flow) else found.flow

    @property
    def dimensions(self) -> int:
        """Number of values of one example."""
        return self.distribution.event_shape.num_elements()

    @property
    def rest_size(self) -> int:
        """Number of latents that are not tied."""
        return math.prod(self.flow.distribution.event_shape) - self.shared

    def as_data(self, x):
        """Floats in the flow's dtype, which Keras has cast to its own."""
        x = tf.convert_to_tensor(x)
        return tf.cast(x, self.flow.dtype) if x.dtype.is_floating else x

    def clean(self, x):
        """x as the flow takes it, without noise: integers become the centers of their bins."""
        if not isinstance(self.distribution, Dequantized):
            return x
        centers = tf.cast(self.distribution._checked_integers(x), self.flow.dtype) + 0.5
        return centers / self.distribution.num_bins - 0.5

    def noisy(self, x, seed):
        """x as the flow sees it in training, with the noise of `encode_and_log_prob`."""
        if isinstance(self.distribution, Flow):
            return x
        noised = isinstance(self.distribution, Noised)
        add_noise = self.distribution.with_noise if noised else self.distribution.dequantize
        return add_noise(x, seed)

    def encode(self, x, condition=None) -> tuple:
        """The rest of the latents of clean data, and the tied ones."""
        return self._parts(self._flat(self.flow.encode(self.clean(x), condition)))

    def encode_and_log_prob(self, x, condition=None, seed=None) -> tuple:
        """The rest of the latents, the tied ones, and log p(x) in nats, of one pass."""
        noise = {} if isinstance(self.distribution, Flow) else {"seed": seed}
        z, log_prob = self.distribution.encode_and_log_prob(x, condition, **noise)
        return *self._parts(self._flat(z)), log_prob

    def decode(self, rest, shared, condition=None):
        """The flow's real numbers of latents."""
        z = tf.concat([rest, shared], -1)
        shape = tf.concat([tf.shape(z)[:-1], self.flow.distribution.event_shape], 0)
        return self.flow.decode(tf.reshape(z, shape), condition)

    def data(self, x):
        """Data of the domain from real numbers: the integers nearest to them, if it has these."""
        return self.distribution.quantize(x) if isinstance(self.distribution, Dequantized) else x

    def sample(self, batch_shape, temperature, seed) -> tuple:
        """Both parts of latents from their prior, of which the noise has a temperature."""
        temperature = check_number(temperature, "temperature", least=0)
        stateless = tfp.random.sanitize_seed(stateless_seed(seed), salt="domain_map")
        shape = tf.concat([batch_shape, [self.rest_size + self.shared]], 0)
        noise = tf.random.stateless_normal(shape, stateless, dtype=self.flow.dtype)
        return self._parts(temperature * noise)

    def checked_rest(self, rest):
        """Given latents, of the right size."""
        rest = tf.convert_to_tensor(rest, dtype_hint=self.flow.dtype)
        if rest.shape[-1] != self.rest_size:
            raise ValueError(
                f"rest must hold the {self.rest_size} latents of {self.argument} that are not "
                f"tied in its last dimension. Received: shape {tuple(rest.shape)}."
            )
        return rest

    def _flat(self, z):
        batch = tf.shape(z)[: z.shape.rank - self.flow.distribution.event_shape.rank]
        return tf.reshape(z, tf.concat([batch, [self.rest_size + self.shared]], 0))

    def _parts(self, z) -> tuple:
        return z[..., : self.rest_size], z[..., self.rest_size :]


def check_side(distribution, argument: str) -> None:
    """Raises unless it is a flow with standard normal latents, or such a flow with noise."""
    flow = distribution.flow if isinstance(distribution, NoisyData) else distribution
    if not isinstance(flow, Flow):
        raise TypeError(
            f"{argument} must be a Flow, or Dequantized or Noised of one. "
            f"Received: {distribution!r}."
        )
    if not _is_standard_normal(flow.distribution):
        raise ValueError(
            f"{argument} must have standard normal latents, as flows have whose base is "
            f"standard_normal(size). Received: a base {flow.distribution!r}."
        )


def _is_standard_normal(base: tfd.Distribution) -> bool:
    normal = getattr(base, "distribution", None)
    if not isinstance(base, tfd.Sample) or not isinstance(normal, tfd.Normal):
        return False
    loc, scale = (tf.get_static_value(value) for value in (normal.loc, normal.scale))
    return loc == 0.0 and scale == 1.0
