"""Whether a posterior is as sure as it should be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_event, check_positive_int, check_seed
from tfp_glow.flow import Flow

__all__ = ["calibration_ranks", "credibility_levels"]


def calibration_ranks(
    posterior: Flow,
    parameters,
    observations,
    *,
    num_samples: int = 100,
    batch_size: int = 100,
    seed: int | None = None,
) -> np.ndarray:
    """The ranks of simulation-based calibration.

    With parameters x_i drawn from the prior and observations y_i simulated from them,

        rank_id = #{l : x_lid < x_id},     x_l. ~ q(. given y_i),   l = 1 .. num_samples

    is uniform on 0 .. num_samples for each parameter d where q is the posterior. Ranks in
    the middle tell of a posterior that is too wide, at both ends of one too narrow.

    Args:
      posterior: A flow over parameters with a condition.
      parameters: `[N, *event]`, from the prior.
      observations: `[N, *condition]`, simulated from them.
      num_samples: Number of draws from the posterior of each observation.
      batch_size: Number of observations at a time.
      seed: Seed of the draws.

    Returns:
      Ranks `[N, *event]`, ints from 0 to `num_samples`.

    Raises:
      TypeError: If `posterior` is no flow with a condition.
      ValueError: If `parameters` and `observations` differ in number, hold NaN or infinity, or a
        number is out of its range.

    Example:

        ranks = calibration_ranks(flow, theta, x, num_samples=99)
        counts = np.bincount(ranks[:, 0], minlength=100)
        scipy.stats.chisquare(counts).pvalue

    References:
      Talts, Betancourt, Simpson, Vehtari and Gelman, "Validating Bayesian Inference Algorithms
      with Simulation-Based Calibration", arXiv:1804.06788.
    """

    def ranks(x, y, seed):
        samples = posterior.sample([num_samples, x.shape[0]], condition=y, seed=seed)
        return tf.math.count_nonzero(samples < x, 0, dtype=tf.int32)

    check_positive_int(num_samples, "num_samples")
    return _in_batches(ranks, posterior, parameters, observations, seed, batch_size)


def credibility_levels(
    posterior: Flow,
    parameters,
    observations,
    *,
    num_samples: int = 100,
    batch_size: int = 100,
    seed: int | None = None,
) -> np.ndarray:
    """The level of the smallest credible region that holds the true parameters.

        level_i = P(q(x given y_i) > q(x_i given y_i)),     x ~ q(. given y_i)

    by `num_samples` draws. Credible regions of highest density at the level a hold the share
    `np.mean(levels <= a)` of the parameters, their expected coverage, which is a where q is the
    posterior, and less where it is too sure of itself.

    Arguments and errors are those of `calibration_ranks`.

    Returns:
      Levels `[N]` in [0, 1].

    Example:

        levels = credibility_levels(flow, theta, x)
        coverage = [np.mean(levels <= a) for a in (0.5, 0.9)]

    References:
      Hermans, Delaunoy, Rozet, Wehenkel, Begy and Louppe, "A Trust Crisis In Simulation-Based
      Inference? Your Posterior Approximations Can Be Unfaithful", arXiv:2110.06581.
    """

    def levels(x, y, seed):
        samples = posterior.sample([num_samples, x.shape[0]], condition=y, seed=seed)
        denser = posterior.log_prob(samples, condition=y) > posterior.log_prob(x, condition=y)
        return tf.reduce_mean(tf.cast(denser, tf.float32), 0)

    check_positive_int(num_samples, "num_samples")
    return _in_batches(levels, posterior, parameters, observations, seed, batch_size)


def _in_batches(
    function: Callable, posterior: Flow, parameters, observations, seed: int | None, batch_size: int
) -> np.ndarray:
    """What `function(parameters, observations, seed)` gives of each batch, one after the other."""
    x, y = _checked_pairs(posterior, parameters, observations)
    check_positive_int(batch_size, "batch_size")
    seed = np.random.randint(2**31) if check_seed(seed) is None else seed
    function = tf.function(function, autograph=False)
    batches = [
        (x[start : start + batch_size], y[start : start + batch_size], tf.constant([seed, start]))
        for start in range(0, len(x), batch_size)
    ]
    # A call of `function` itself would warn of retracing from a program's fifth posterior on.
    return np.concatenate([function.get_concrete_function(*b)(*b) for b in batches])


def _checked_pairs(posterior: Flow, parameters, observations) -> tuple[tf.Tensor, tf.Tensor]:
    if getattr(posterior, "condition_shape", None) is None:
        raise TypeError(f"posterior must be a flow with a condition. Received: {posterior!r}.")
    x = tf.convert_to_tensor(parameters, posterior.dtype)
    x = check_event(x, posterior.event_shape, "parameters")
    y = tf.convert_to_tensor(observations)
    if not len(x) or len(x) != len(y):
        raise ValueError(
            "parameters and observations must hold one of each for an example, and at least one. "
            f"Received: {len(x)} and {len(y)}."
        )
    for argument, value in (("parameters", x), ("observations", y)):
        if value.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(value))):
            raise ValueError(f"{argument} must be finite. Received: NaN or infinity.")
    return x, y
