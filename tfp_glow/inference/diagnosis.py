"""How close a surrogate posterior comes to the posterior."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.passes import condition_kwargs
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.inference.extra import import_arviz
from tfp_glow.inference.target import Target, check_structure, check_target, target_log_prob

__all__ = ["Diagnosis", "diagnose"]

tfd = tfp.distributions


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Two lower bounds of the log-evidence in nats, and the Pareto tail of the weights.

    Attributes:
      elbo: Mean of the log-weights log p(x, data) - log q(x) over draws of q.
      elbo_error: Its standard error.
      importance_bound: Mean over groups of `importance_samples` draws of the log of their mean
        weight; it is at least the ELBO, and reaches the log-evidence as the groups grow.
      importance_samples: Draws in a group.
      pareto_k: Shape of the generalized Pareto distribution of the largest weights. Below 0.7
        importance sampling with q works, and q is close to the posterior; above 0.7 it is not.
      num_samples: Number of draws.
    """

    elbo: float
    elbo_error: float
    importance_bound: float
    importance_samples: int
    pareto_k: float
    num_samples: int


def diagnose(
    target: Target,
    surrogate: tfd.Distribution,
    *,
    condition=None,
    num_samples: int = 4000,
    importance_samples: int = 100,
    seed: int | None = None,
) -> Diagnosis:
    """Judges a surrogate posterior by the weights of its draws.

    Args:
      target: A pinned joint distribution, or a function of the latents that returns log p(x, data).
      surrogate: A distribution whose samples fit the target.
      condition: The data, where the surrogate is amortized.
      num_samples: Number of draws, a multiple of `importance_samples`.
      importance_samples: Draws in each group of the importance-weighted bound.
      seed: Seed of the draws, an int or a pair of ints.

    Raises:
      ImportError: If ArviZ is not installed, which the extra `inference` brings.
      ValueError: If `num_samples` is no multiple, the surrogate does not draw the target's latents,
        or a weight is NaN.

    Example:

        diagnose(pinned, surrogate, seed=1).pareto_k

    References:
      Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", arXiv:1509.00519.
      Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto Smoothed Importance Sampling",
      arXiv:1507.02646.
      Yao, Vehtari, Simpson and Gelman, "Yes, but Did It Work?: Evaluating Variational Inference",
      arXiv:1802.02538.
    """
    check_structure(check_target(target), surrogate)
    check_positive_int(importance_samples, "importance_samples")
    if check_positive_int(num_samples, "num_samples") % importance_samples:
        raise ValueError(
            f"num_samples must be a multiple of importance_samples = {importance_samples}. "
            f"Received: {num_samples}."
        )
    arviz = import_arviz()
    log_weights = _log_weights(target, surrogate, condition, num_samples, seed)
    groups = tf.reshape(log_weights, [-1, importance_samples])
    bounds = tf.reduce_logsumexp(groups, -1) - math.log(importance_samples)
    return Diagnosis(
        elbo=float(np.mean(log_weights)),
        elbo_error=float(np.std(log_weights) / math.sqrt(num_samples)),
        importance_bound=float(np.mean(bounds)),
        importance_samples=importance_samples,
        pareto_k=float(arviz.psislw(log_weights)[1]),
        num_samples=num_samples,
    )


def _log_weights(target: Target, surrogate, condition, num_samples: int, seed) -> np.ndarray:
    x, log_q = surrogate.experimental_sample_and_log_prob(
        num_samples, seed=stateless_seed(seed), **condition_kwargs(condition)
    )
    log_weights = (target_log_prob(target, x) - log_q).numpy().astype("float64")
    if np.isnan(log_weights).any():
        raise ValueError(
            "target and surrogate must have log-densities that are numbers. "
            f"Received: NaN at {np.isnan(log_weights).sum()} of {num_samples} draws."
        )
    return log_weights
