"""Expectation maximization of mixtures of flows."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.substitution import substituted
from tfp_glow.flow import Flow
from tfp_glow.flows.stack import SideBySide

__all__ = ["expectation_maximization"]

tfd = tfp.distributions


def expectation_maximization(
    mixture: tfd.MixtureSameFamily, x, *, num_steps: int, max_iterations: int = 20
) -> np.ndarray:
    """Fits a mixture of flows by EM; the likelihood of the data never falls.

    A step computes the responsibilities r_nk = p(component k given x_n), then

        weights:     w_k     = mean_n r_nk
        components:  theta_k = argmax sum_n r_nk log p(x_n; theta_k)

    the latter by L-BFGS from where theta_k is, for all components at once; one that would end lower
    stays as it is. Where the iterations suffice for the maximum, it is the EM algorithm, and a
    generalized one where they do not. `mixture.posterior_marginal(x)` gives the responsibilities.

    Args:
      mixture: A mixture of `flows.stack(...)` whose `tfd.Categorical` has a variable for logits;
        both are changed in place. Initialize the components apart from each other, since equal
        ones stay equal.
      x: `[N, *event]`, all data at once.
      num_steps: Number of steps.
      max_iterations: Most iterations of L-BFGS in a step.

    Returns:
      The mean log-likelihood in nats before each step and after the last, `[num_steps + 1]`.

    Raises:
      TypeError: If `mixture` is no mixture of stacked flows with variable logits.
      ValueError: If x is empty or not finite, a number is out of its range, or the log-likelihood
        is not finite before a step.

    Example:

        flow = lambda seed: flows.maf(2, seed=seed)
        components = flows.stack([flow(seed) for seed in range(4)])
        mixture = tfd.MixtureSameFamily(
            tfd.Categorical(logits=tf.Variable(tf.zeros(4))), components
        )
        expectation_maximization(mixture, x, num_steps=50)

    References:
      Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm",
      Journal of the Royal Statistical Society B 39 (1977).
    """
    logits, components = _parts(mixture)
    check_positive_int(num_steps, "num_steps")
    check_positive_int(max_iterations, "max_iterations")
    x = _checked_data(x, components)[:, tf.newaxis]
    parameters = _Parameters(components)

    @tf.function(autograph=False)
    def responsibilities():
        joint = tf.nn.log_softmax(logits) + components.log_prob(x)
        likelihood = tf.reduce_logsumexp(joint, -1, keepdims=True)
        return tf.reduce_mean(likelihood), tf.exp(joint - likelihood)

    @tf.function(autograph=False)
    def maximize(weights):
        logits.assign(tf.math.log(tf.maximum(tf.reduce_mean(weights, 0), _tiny(weights.dtype))))
        parameters.maximize(x, weights, max_iterations)

    history = []
    for step in range(num_steps + 1):
        likelihood, weights = responsibilities()
        history.append(_checked_likelihood(float(likelihood), step))
        if step < num_steps:
            maximize(weights)
    return np.array(history)


class _Parameters:
    """The components' trainable variables as one matrix `[K, P]`, a row for each component."""

    def __init__(self, components: Flow):
        self._components = components
        self._variables = [v for v in components.bijector.keras_variables if v.trainable]
        self._sizes = [math.prod(v.shape[1:]) for v in self._variables]

    def maximize(self, x, weights, max_iterations: int) -> None:
        """Moves each row to where the weighted log-likelihood is higher, or nowhere."""
        rows = [tf.reshape(v, [v.shape[0], -1]) for v in self._variables]
        before = tf.concat(rows, 1)
        # Per example that a component stands for, so that the scale is the same for all.
        weights /= tf.maximum(tf.reduce_sum(weights, 0), _tiny(weights.dtype))

        # L-BFGS calls it at many places: traced and optimized once, not at each of them.
        @tf.function(autograph=False, experimental_attributes={"_noinline": True})
        def loss_and_gradient(theta):
            with tf.GradientTape() as tape:
                tape.watch(theta)
                losses = self._losses(theta, x, weights)
            return losses, tape.gradient(losses, theta)

        found = tfp.optimizer.lbfgs_minimize(
            loss_and_gradient,
            before,
            max_iterations=max_iterations,
            stopping_condition=tfp.optimizer.converged_all,
        )
        lower = found.objective_value <= self._losses(before, x, weights)
        self._assign(tf.where(lower[:, tf.newaxis], found.position, before))

    def _losses(self, theta, x, weights):
        """`[K]`, minus the weighted log-likelihood of each component."""
        with substituted(self._variables, self._split(theta)):
            log_prob = self._components.log_prob(x)
        # What a component has no share in does not count, be its density 0.
        shares = tf.where(weights > 0, weights * log_prob, tf.zeros_like(log_prob))
        return -tf.reduce_sum(shares, 0)

    def _split(self, theta) -> list:
        parts = zip(tf.split(theta, self._sizes, 1), self._variables, strict=True)
        return [tf.reshape(part, v.shape) for part, v in parts]

    def _assign(self, theta) -> None:
        for variable, value in zip(self._variables, self._split(theta), strict=True):
            variable.assign(value)


def _tiny(dtype: tf.DType) -> float:
    return np.finfo(dtype.as_numpy_dtype).tiny


def _parts(mixture) -> tuple[tf.Variable, Flow]:
    # TFP makes mixtures with variables of a class that is not its public one.
    components = getattr(mixture, "components_distribution", None)
    if not isinstance(getattr(components, "bijector", None), SideBySide):
        raise TypeError(
            "mixture must be a tfd.MixtureSameFamily of components made by flows.stack. "
            f"Received: {mixture!r}."
        )
    logits = getattr(mixture.mixture_distribution, "logits", None)
    if not isinstance(logits, tf.Variable):
        raise TypeError(
            "mixture must have tfd.Categorical(logits=tf.Variable(...)) for its weights. "
            f"Received: {mixture.mixture_distribution!r} with logits {logits!r}."
        )
    return logits, components


def _checked_data(x, components: Flow) -> tf.Tensor:
    x = tf.convert_to_tensor(x, components.dtype)
    event = components.event_shape
    if x.shape.rank != event.rank + 1 or not event.is_compatible_with(x.shape[1:]) or not len(x):
        raise ValueError(f"x must have shape [N, {event}], N > 0. Received: {tuple(x.shape)}.")
    if not bool(tf.reduce_all(tf.math.is_finite(x))):
        raise ValueError("x must be finite. Received: NaN or infinity.")
    return x


def _checked_likelihood(likelihood: float, step: int) -> float:
    if not math.isfinite(likelihood):
        raise ValueError(
            f"The log-likelihood is {likelihood} before step {step}: a component has collapsed to "
            "a point, or an example has density 0 in all of them. Start with other components."
        )
    return likelihood
