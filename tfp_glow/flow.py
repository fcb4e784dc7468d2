"""A flow as a distribution."""

from __future__ import annotations

import contextlib
import copy
import numbers

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import Chain
from tfp_glow.core.bases import check_base
from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import (
    check_dtype,
    check_event,
    check_number,
    check_positive_int,
    event_dimensions,
)
from tfp_glow.core.compat import TransformedDistribution, untracked
from tfp_glow.core.conditions import condition_of_samples
from tfp_glow.core.freezing import Freezable
from tfp_glow.core.modes import draw, guided
from tfp_glow.core.passes import INVERSE, condition_kwargs
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.core.tracing import as_written

__all__ = ["Flow", "standard_normal"]

tfb = tfp.bijectors
tfd = tfp.distributions


class Flow(Freezable, TransformedDistribution):
    """The distribution of x = bijector.forward(z) with z drawn from a base distribution.

        log p(x) = log p(z) + log|det dz/dx|,   z = bijector.inverse(x)     in nats

    It is a TFP distribution like any other, whose methods also take `condition` where the
    bijector takes one, and whose `sample` takes a temperature.

    Args:
      distribution: Base distribution of the latents z.
      bijector: Map from latents to data, of this package or of TFP.
      name: Name of the distribution.

    Raises:
      TypeError: If the arguments are no distribution and bijector of one dtype, or the distribution
        is discrete or has events of several tensors.
      ValueError: If its events have fewer dimensions than the bijector changes at once.

    Example:

        bijector = Repeat(make_step, depth=8)
        flow = Flow(standard_normal(2), bijector)
        flow.initialize(x)
        flow.log_prob(x), flow.sample(100, temperature=0.7, seed=1)
    """

    # A recipe may name flows whose variables this one has copies of.
    _TF_MODULE_IGNORED_PROPERTIES = frozenset(
        {"_recipe"} | TransformedDistribution._TF_MODULE_IGNORED_PROPERTIES
    )

    def __init__(
        self,
        distribution: tfd.Distribution,
        bijector: tfb.Bijector,
        *,
        name: str | None = None,
    ):
        parameters = dict(locals())
        for argument, value, kind in (
            ("distribution", distribution, tfd.Distribution),
            ("bijector", bijector, tfb.Bijector),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"{argument} must be a {kind.__name__}. Received: {value!r}.")
        check_base(distribution, bijector)
        super().__init__(
            distribution,
            bijector,
            kwargs_split_fn=_to_bijector,
            parameters=parameters,
            name=name or "Flow",
        )
        self._recipe = None
        # Stock bijectors are called through one of ours, whose memory is never out of date.
        ours = isinstance(bijector, FlowBijector)
        self._one_pass = bijector if ours else Chain([bijector])

    def __deepcopy__(self, memo: dict) -> Flow:
        if self.distribution.variables:
            raise TypeError(
                "A flow whose base distribution has variables cannot be deep-copied. "
                f"Received: {self.distribution!r}. Build it anew and assign its variables."
            )
        # TFP's distributions do not take part in copying, and this one has nothing to copy.
        flow = Flow(self.distribution, copy.deepcopy(self.bijector, memo), name=self.name)
        if self._recipe is not None:
            flow.remember_recipe(**self._recipe)
        return flow

    @property
    def recipe(self) -> dict | None:
        """Name and arguments of the function of `flows` that built this flow, if one did."""
        return self._recipe

    def remember_recipe(self, name: str, arguments: dict) -> None:
        """Notes how to rebuild this flow; `flows` call it."""
        self._recipe = untracked(self, {"name": name, "arguments": arguments})
        # The recipe's name is not one that the caller gave, as joint distributions would take it.
        self._parameters = untracked(self, self.parameters | {"name": None})

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Event shape of the condition, None where the flow takes none."""
        return self._one_pass.condition_shape

    @property
    def num_classes(self) -> int | None:
        """Number of classes that the flow is conditioned on, None where on none."""
        return self._one_pass.num_classes

    @property
    def class_ids(self) -> range | None:
        """The class ids that a condition may hold: from -1 on where the flow has a null class."""
        return self._one_pass.class_ids

    @property
    def takes_guidance(self) -> bool:
        """Whether `sample` takes `guidance`: the flow has a null class, and bijectors that mix."""
        return self._one_pass.has_null_class and self._one_pass.takes_guidance

    @property
    def log_det_is_estimate(self) -> bool:
        """Whether `log_prob` depends on noise; see `log_prob_moments`."""
        return self._one_pass.log_det_is_estimate

    @property
    def initialized(self) -> bool:
        """Whether data-dependent initialization has run wherever there is one."""
        return self._one_pass.initialized

    def initialize(self, x, condition=None, *, force: bool = False):
        """Sets the data-dependent parameters from a batch and returns its latents.

        See `FlowBijector.initialize` for the arguments and errors.
        """
        return self._one_pass.initialize(self._checked_event(x), condition, force=force)

    @as_written
    def encode(self, x, condition=None):
        """The latents of data: z = bijector.inverse(x)."""
        return self._one_pass.inverse(self._checked_event(x), **condition_kwargs(condition))

    @as_written
    def decode(self, z, condition=None):
        """The data of latents: x = bijector.forward(z)."""
        return self._one_pass.forward(self._checked_latents(z), **condition_kwargs(condition))

    @as_written
    def encode_and_log_prob(self, x, condition=None):
        """Latents and density of one pass.

        Args:
          x: `[..., *event]`.
          condition: What the flow is conditioned on, where it takes a condition.

        Returns:
          z `[..., *latent]`, and log p(x) `[...]` in nats.

        Example:

            z, log_prob = flow.encode_and_log_prob(x)
        """
        x = self._checked_event(x)
        z, log_det = self._one_pass._cache.run(INVERSE, x, condition)
        log_det = INVERSE.summed(self._one_pass, log_det, self.event_shape.rank)
        return z, self.distribution.log_prob(z) + log_det

    def decode_and_log_prob(self, z, condition=None):
        """The data of latents, and their density, of one pass.

        Args:
          z: `[..., *latent]`.
          condition: What the flow is conditioned on, where it takes a condition.

        Returns:
          x `[..., *event]`, and log p(x) `[...]` in nats.

        Example:

            x, log_prob = flow.decode_and_log_prob(flow.distribution.sample(8))
        """
        z, ndims = self._checked_latents(z), self.distribution.event_shape.rank
        x, log_det = self._one_pass.forward_and_log_det(z, condition, event_ndims=ndims)
        return x, self.distribution.log_prob(z) - log_det

    def log_prob_moments(self, x, condition=None, *, draws: int = 16):
        """Mean and variance of `log_prob` over the noise of estimated log-dets.

        Where every log-det is exact, the variance is zero. Inside of `evaluation` they are
        those of the evaluation's estimates.

        Args:
          x: `[..., *event]`.
          condition: What the flow is conditioned on, where it takes a condition.
          draws: Number of independent draws of the noise, at least 2.

        Returns:
          Mean and unbiased variance `[...]`, in nats and squared nats. The mean's own variance is
          that divided by `draws`.

        Raises:
          ValueError: If `draws` is below 2.

        Example:

            mean, variance = flow.log_prob_moments(x, draws=64)
        """
        check_positive_int(draws, "draws", least=2)
        x = self._checked_event(x)

        @tf.function(autograph=False)
        def estimate(index):
            with draw(index):
                return self.log_prob(x, **condition_kwargs(condition))

        # A call of `estimate` itself would warn of retracing from a program's fifth batch on.
        estimate = estimate.get_concrete_function(tf.TensorSpec([], tf.int32))
        estimates = tf.stack([estimate(tf.constant(index)) for index in range(draws)])
        mean, variance = tf.nn.moments(estimates, 0)
        return mean, variance * draws / (draws - 1)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None) -> dict:
        return super()._parameter_properties(dtype, num_classes)

    def _call_sample_n(self, sample_shape, seed, temperature=1.0, condition=None, guidance=None):
        """Draws from the base, scales by `temperature`, and generates."""
        known = tf.get_static_value(temperature) if tf.is_tensor(temperature) else temperature
        if known is not None:
            scalar = np.asarray(known).item() if np.ndim(known) == 0 else known
            check_number(scalar, "temperature", least=0)
        condition = condition_of_samples(condition, self.condition_shape, sample_shape)
        base = self._maybe_broadcast_distribution_batch_shape()
        z = base.sample(sample_shape, seed=stateless_seed(seed))
        # The product must not get between the latents and what is remembered of them in vain.
        if known is None or known != 1.0:
            z *= tf.cast(tf.convert_to_tensor(temperature, dtype_hint=z.dtype), z.dtype)
        with self._guided(guidance):
            return self._one_pass.forward(z, **condition_kwargs(condition))

    def _guided(self, weight) -> contextlib.AbstractContextManager[None]:
        """The mode of guidance by a weight, none for None."""
        if weight is None:
            return contextlib.nullcontext()
        if not self.takes_guidance:
            raise ValueError(
                "guidance needs a flow of autoregressive tokens with a null class, as "
                "flows.tarflow(num_classes=, label_dropout=) has. "
                f"Received: guidance={weight} for {self.name}."
            )
        return guided(weight if tf.is_tensor(weight) else check_number(weight, "guidance", least=0))

    @as_written
    def sample(self, sample_shape=(), seed=None, name: str = "sample", **kwargs):
        """Draws samples `[*sample_shape, *event]`.

        Args:
          sample_shape: An int or a shape.
          seed: An int or two ints, which give the same samples at every call, where TFP's ints do
            not in eager mode; or None for others each time.
          name: Name of the operation.
          **kwargs: `temperature`, the factor of the latents; `condition`, whose leading
            dimensions are the last ones of `sample_shape`; and, where the flow has a null class,
            `guidance`: w from 0 on for networks' outputs (1 + w) f(x, condition) - w f(x, none),
            whose samples show their class more than the data do.

        Raises:
          ValueError, TypeError: If an argument is out of its range.
        """
        known = np.atleast_1d(() if tf.is_tensor(sample_shape) else sample_shape).tolist()
        if not all(isinstance(size, numbers.Integral) and size >= 0 for size in known):
            raise ValueError(f"sample_shape must hold ints from 0 on. Received: {sample_shape!r}.")
        return super().sample(sample_shape, seed=seed, name=name, **kwargs)

    def _log_prob(self, x, condition=None):
        return self.encode_and_log_prob(x, condition)[1]

    def _checked_event(self, x):
        if x is None:
            raise TypeError("x must be data. Received: None.")
        x = tf.convert_to_tensor(x, dtype_hint=self.dtype)
        if x.dtype != self.dtype:
            raise TypeError(f"x must have dtype {self.dtype.name}. Received: {x.dtype.name}.")
        return check_event(x, self.event_shape, "x")

    def _checked_latents(self, z):
        z = tf.convert_to_tensor(z, dtype_hint=self.distribution.dtype)
        return check_event(z, self.distribution.event_shape, "z")


def standard_normal(event_shape: int | tuple[int, ...], dtype: str = "float32") -> tfd.Sample:
    """The standard normal on events of that shape."""
    zero = tf.zeros([], check_dtype(dtype))
    event_dimensions(None, event_shape if event_shape != () else None)
    return tfd.Sample(tfd.Normal(zero, zero + 1.0), event_shape, name="StandardNormal")


def _to_bijector(kwargs: dict) -> tuple[dict, dict]:
    """All keyword arguments of the distribution's methods are the bijector's."""
    return {}, {k: v for k, v in kwargs.items() if v is not None}
