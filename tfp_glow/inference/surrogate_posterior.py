"""A flow over all latents of a joint distribution, as a distribution of the same structure."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_choice, check_seed
from tfp_glow.core.compat import TransformedDistribution, tapes_watching
from tfp_glow.core.conditions import check_condition
from tfp_glow.core.freezing import Freezable
from tfp_glow.flow import Flow
from tfp_glow.flows.conditioned import conditioned
from tfp_glow.flows.recipe import RECIPES
from tfp_glow.inference.unconstrained import (
    Joint,
    check_pinned,
    constraining_bijector,
    latent_dtype,
    latent_sizes,
    pinned_data,
)

__all__ = ["SurrogatePosterior", "surrogate_posterior"]

tfb, tfd = tfp.bijectors, tfp.distributions


class SurrogatePosterior(Freezable, TransformedDistribution):
    """The distribution of x = bijector(u), u drawn from a flow; `surrogate_posterior` makes it.

        log q(x) = log q_flow(u) + log|det du/dx|,   u = bijector.inverse(x)     in nats

    x has the structure of a joint distribution, and u is one vector. A flow with a condition makes
    it amortized: all methods then take `condition`, the data, as those of the flow do.

    Args:
      flow: The flow of the unconstrained vector.
      bijector: The map from the vector to the joint's structure.
      name: Name of the distribution.
    """

    def __init__(self, flow: Flow, bijector: tfb.Bijector, *, name: str = "SurrogatePosterior"):
        parameters = dict(locals())
        super().__init__(
            flow, bijector, kwargs_split_fn=self._to_flow, parameters=parameters, name=name
        )

    @property
    def flow(self) -> Flow:
        """The flow of the unconstrained vector."""
        return self.distribution

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """Those of the flow.

        What the joint distribution is made with, such as a prior's flow, is given, though the
        bijector to its latents' supports may hold it.
        """
        return self.flow.trainable_variables

    @property
    def is_amortized(self) -> bool:
        """Whether it is conditioned on data."""
        return self.flow.condition_shape is not None

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None) -> dict:
        return super()._parameter_properties(dtype, num_classes)

    def _log_prob(self, x, **kwargs):
        # TFP's cache answers with a vector from outside of the tapes that watch x, if it has one.
        u = self.bijector.inverse(x)
        if tapes_watching(tf.nest.flatten(x)) != tapes_watching([u]):
            x = tf.nest.map_structure(tf.identity, x)
        return super()._log_prob(x, **kwargs)

    def _to_flow(self, kwargs: dict) -> tuple[dict, dict]:
        """Keyword arguments of the flow and of the bijector, which takes none."""
        condition, shape = kwargs.get("condition"), self.flow.condition_shape
        check_condition(condition, shape, self.flow.dtype, self.name)
        return kwargs, {}


def surrogate_posterior(
    joint: Joint,
    *,
    flow: str | Callable[..., Flow] | Flow = "iaf",
    encoder: keras.layers.Layer | None = None,
    seed: int | None = None,
) -> SurrogatePosterior:
    """A flow that can take the place of the posterior of a joint distribution.

    All latents, each mapped from unconstrained space by TFP's default bijector to its support,
    are one vector u `[..., size]` of one flow. The result has the names, shapes and supports of the
    joint's latents, so that its samples go into `joint.unnormalized_log_prob`, and its densities
    are exact. Fit it by `fit_surrogate_posterior`.

    An IAF draws samples with their densities in one pass, which is what a fit needs; the density of
    other values takes it one pass a dimension. `"coupling_spline"` and `"realnvp"` do both
    in one pass, and need two unconstrained values or more.

    Nothing is initialized from data: activation normalization begins as the identity and is
    trained, so that u begins near the standard normal, and recipes leave out the splines that find
    data's marginals, unless they are given `marginal_bins`. To begin elsewhere, at draws of the
    prior or of a short run of MCMC, call
    `surrogate.flow.initialize(surrogate.bijector.inverse(draws))`.

    Args:
      joint: A joint distribution pinned at its data: `model.experimental_pin(y=data)`.
      flow: Name of a recipe of `flows`; or a function of the size, as a recipe with some
        arguments set by `functools.partial`, that takes `seed`, `dtype` and, with an encoder,
        `condition_size`; or a `Flow` on vectors of the size.
      encoder: A built Keras network from the joint's one pinned value, the data, to vectors
        `[..., k]`, which amortizes: one surrogate for all data, given as `condition=data`.
      seed: Seed of the flow's initial weights.

    Raises:
      TypeError: If `joint` is not pinned, a latent is discrete, the latents' dtypes differ,
        or an argument is of another type.
      ValueError: If a latent has no bijector to its support or a batch shape, or the flow's event
        shape, dtype or condition do not fit.

    Example:

        pinned = model.experimental_pin(y=data)
        surrogate = surrogate_posterior(pinned, flow="iaf", seed=0)
        losses = fit_surrogate_posterior(pinned, surrogate, num_steps=2000, seed=0)
        surrogate.sample(1000, seed=1).tau

    References:
      Rezende and Mohamed, "Variational Inference with Normalizing Flows", arXiv:1505.05770.
      Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow",
      arXiv:1606.04934.
    """
    check_pinned(joint)
    sizes, dtype = latent_sizes(joint), latent_dtype(joint)
    data_shape = condition_size = None
    if encoder is not None:
        data_shape = tuple(pinned_data(joint)[1].shape)
        condition_size = _code_size(encoder, data_shape, dtype)
    options = {} if condition_size is None else {"condition_size": condition_size}
    flow = _flow(flow, sum(sizes.values()), seed=check_seed(seed), dtype=dtype.name, **options)
    _check_fits(flow, sizes, dtype, condition_size)
    if encoder is not None:
        flow = conditioned(flow, encoder, data_shape)
    return SurrogatePosterior(flow, constraining_bijector(joint))


def _flow(flow, size: int, **options) -> Flow:
    if isinstance(flow, Flow):
        return flow
    if isinstance(flow, str):
        flow = RECIPES[check_choice(flow, RECIPES, "flow")]
    if not callable(flow):
        raise TypeError(f"flow must be a name, a recipe or a Flow. Received: {flow!r}.")
    made = flow(size, **options, **_without_marginals(flow))
    if not isinstance(made, Flow):
        raise TypeError(f"flow must make a Flow. Received: {made!r} from {flow!r}.")
    return made


def _without_marginals(recipe: Callable[..., Flow]) -> dict:
    """What makes a recipe that leaves its `marginal_bins` to us have none."""
    bins = inspect.signature(recipe).parameters.get("marginal_bins")
    return {} if bins is None or bins.default != "auto" else {"marginal_bins": None}


def _check_fits(
    flow: Flow, sizes: dict[str, int], dtype: tf.DType, condition_size: int | None
) -> None:
    size = sum(sizes.values())
    if tuple(flow.event_shape) != (size,):
        parts = ", ".join(f"{name} {number}" for name, number in sizes.items())
        raise ValueError(
            f"flow must have event shape ({size},), the joint's unconstrained values ({parts}). "
            f"Received: event shape {tuple(flow.event_shape)}."
        )
    if flow.dtype != dtype:
        raise TypeError(
            f"flow must have the latents' dtype {dtype.name}. Received: {flow.dtype.name}."
        )
    expected = None if condition_size is None else (condition_size,)
    if flow.condition_shape != expected:
        raise ValueError(
            f"flow must take a condition of shape {expected}, what the encoder gives. "
            f"Received: a flow whose condition has shape {flow.condition_shape}."
        )


def _code_size(encoder, data_shape: tuple[int, ...], dtype: tf.DType) -> int:
    if not isinstance(encoder, keras.layers.Layer):
        raise TypeError(f"encoder must be a Keras layer or model. Received: {encoder!r}.")
    code = encoder(tf.zeros([1, *data_shape], dtype))
    if not tf.is_tensor(code) or code.shape.rank != 2:
        raise ValueError(f"encoder must give vectors [batch, k]. Received: {code!r}.")
    return code.shape[-1]
