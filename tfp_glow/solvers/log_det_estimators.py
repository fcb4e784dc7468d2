"""Estimators of log|det(I + J)| for the Jacobian J of a contraction g.

An estimator is called as `estimator(g, x, seed)` with x `[batch, *event]`; it returns g(x) and the
log-det `[batch]`, in nats, whose gradients are estimated too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import tensorflow as tf

from tfp_glow.core import modes
from tfp_glow.core.checks import check_choice, check_positive_int
from tfp_glow.core.noise import Noise, noise_like

__all__ = [
    "LARGEST_EXACT",
    "Exact",
    "LogDetEstimator",
    "PowerSeries",
    "RussianRoulette",
    "get_estimator",
    "value_and_jacobian",
]

# Truncations that are less likely than this do not occur.
_LEAST_PROBABILITY = 1e-12
# Values of an event whose whole Jacobian is computed.
LARGEST_EXACT = 64


class LogDetEstimator(Protocol):
    """What a residual block asks of its estimator."""

    def __call__(self, g: Callable, x, seed) -> tuple[tf.Tensor, tf.Tensor]: ...


@dataclass(frozen=True)
class Exact:
    """The log-det from the whole Jacobian, for events of up to 64 values."""

    def __call__(self, g: Callable, x, seed):
        size = math.prod(x.shape[1:])
        if size > LARGEST_EXACT:
            raise ValueError(
                f"log_det='exact' is for events of up to {LARGEST_EXACT} values. Received: {size}."
            )
        y, jacobian = value_and_jacobian(g, x)
        # By QR, which XLA compiles everywhere.
        diagonal = tf.linalg.diag_part(tf.linalg.qr(jacobian + tf.eye(size, dtype=x.dtype)).r)
        return y, tf.reduce_sum(tf.math.log(tf.abs(diagonal)), -1)


@dataclass(frozen=True)
class PowerSeries:
    """The first terms of the series, with Hutchinson's estimate of every trace.

        log det(I + J) = sum_k (-1)^(k+1) / k tr(J^k),   tr(J^k) = E[v^T J^k v]

    What is cut off is at most -size (log(1 - c) + sum_k c^k / k) for a Lipschitz constant c of g.

    Attributes:
      terms: Number of terms.
      evaluation_terms: Number of terms inside of `evaluation`.
      noise: Distribution of v.

    References:
      Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen, "Invertible Residual Networks",
      arXiv:1811.00995, section 3.
    """

    terms: int = 5
    evaluation_terms: int = 20
    noise: Noise = "rademacher"

    def __post_init__(self):
        check_positive_int(self.terms, "terms")
        check_positive_int(self.evaluation_terms, "evaluation_terms")
        check_choice(self.noise, ("rademacher", "gaussian"), "noise")

    def __call__(self, g: Callable, x, seed):
        terms = self.evaluation_terms if modes.current().evaluating else self.terms
        return _series(g, x, noise_like(x, self.noise, seed), tf.constant(terms), np.ones(terms))


@dataclass(frozen=True)
class RussianRoulette:
    """The whole series without bias: its length is drawn, later terms weigh more.

        log det(I + J) = E[ sum_{k <= n + N} (-1)^(k+1) / (k P(N >= k - n)) v^T J^k v ]

    with n exact terms, a random number N of further ones, and P(N >= j) = 1 for j <= 0. The
    gradient is that of the Neumann series of the same length and weights, which is unbiased too
    and keeps no more than one evaluation of g, however long the series.

    Attributes:
      exact_terms: The n terms that are always there.
      distribution: Of N: `"geometric"` with P(N >= j) = 2^-j, or `"poisson"` with mean 2.
      evaluation_terms: Number of terms, all of weight 1, inside of `evaluation`.
      noise: Distribution of v.

    References:
      Chen, Behrmann, Duvenaud and Jacobsen, "Residual Flows for Invertible Generative Modeling",
      arXiv:1906.02735, sections 3.1 and 3.2.
    """

    exact_terms: int = 2
    distribution: Literal["geometric", "poisson"] = "geometric"
    evaluation_terms: int = 20
    noise: Noise = "rademacher"

    def __post_init__(self):
        check_positive_int(self.exact_terms, "exact_terms")
        check_positive_int(self.evaluation_terms, "evaluation_terms")
        check_choice(self.distribution, ("geometric", "poisson"), "distribution")
        check_choice(self.noise, ("rademacher", "gaussian"), "noise")

    def __call__(self, g: Callable, x, seed):
        noise = noise_like(x, self.noise, seed)
        if modes.current().evaluating:
            terms = self.evaluation_terms
            return _series(g, x, noise, tf.constant(terms), np.ones(terms))
        survival = self._survival()
        draw = tf.random.stateless_uniform([], seed + 1, dtype=tf.float64)
        further = tf.reduce_sum(tf.cast(draw < survival, tf.int32))
        weights = np.concatenate([np.ones(self.exact_terms), 1.0 / survival])
        return _series(g, x, noise, self.exact_terms + further, weights)

    def _survival(self) -> np.ndarray:
        """P(N >= j) for j = 1, 2, ... as long as it can be drawn."""
        numbers = np.arange(64)
        if self.distribution == "geometric":
            survival = 0.5 ** numbers[1:]
        else:
            factorials = np.cumprod([1.0, *numbers[1:].astype(float)])
            survival = 1.0 - np.cumsum(np.exp(-2.0) * 2.0**numbers / factorials)[:-1]
        return survival[survival > _LEAST_PROBABILITY]


def value_and_jacobian(function: Callable, x):
    """function(x) and its Jacobian `[batch, size, size]`, by a gradient for each value."""
    size, zero = math.prod(x.shape[1:]), tf.UnconnectedGradients.ZERO
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = function(x)
        outputs = tf.unstack(tf.reshape(y, [-1, size]), axis=-1)
    gradients = [tape.gradient(output, x, unconnected_gradients=zero) for output in outputs]
    return y, tf.stack([tf.reshape(gradient, [-1, size]) for gradient in gradients], 1)


def get_estimator(estimator: str | LogDetEstimator) -> LogDetEstimator:
    """The estimator of that name, or `estimator` itself where it is one."""
    named = {"exact": Exact, "power_series": PowerSeries, "unbiased": RussianRoulette}
    if isinstance(estimator, str):
        return named[check_choice(estimator, tuple(named), "log_det")]()
    if not callable(estimator):
        raise TypeError(f"log_det must be a name or an estimator. Received: {estimator!r}.")
    return estimator


def _series(g: Callable, x, noise, terms, weights: np.ndarray):
    """g(x) and the weighted series of `terms` terms, of which there are at most len(weights).

    The gradient of the k-th term is, in expectation, that of v^T J^(k-1) (dJ) v. All products
    v^T J^(k-1), with their weights, add up to one vector s first; then d(s^T J v) is the
    gradient of the whole series.
    """
    coefficients = tf.constant(weights, x.dtype)
    axes = list(range(1, x.shape.rank))
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = g(x)

    def add_term(k, product, total, s):
        weight = coefficients[k] * tf.cast(1 - 2 * (k % 2), x.dtype)
        s += weight * product
        product = tape.gradient(y, x, product)
        trace = tf.reduce_sum(product * noise, axes)
        return k + 1, product, total + weight / tf.cast(k + 1, x.dtype) * trace, s

    _, _, value, s = tf.while_loop(
        lambda k, *_: k < terms,
        add_term,
        (tf.constant(0), noise, tf.reduce_sum(tf.zeros_like(x), axes), tf.zeros_like(x)),
        maximum_iterations=len(weights),
    )
    s, value = tf.stop_gradient(s), tf.stop_gradient(value)
    surrogate = tf.reduce_sum(tape.gradient(y, x, s) * noise, axes)
    return y, surrogate + tf.stop_gradient(value - surrogate)
