"""Fits surrogate posteriors by TFP's loops, with Keras optimizers, as one graph."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.bijector import advancing_parts
from tfp_glow.core.checks import check_bool, check_positive_int
from tfp_glow.core.freezing import trained_variables
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.inference.surrogate_posterior import SurrogatePosterior
from tfp_glow.inference.target import Target, check_finite, check_structure, check_target
from tfp_glow.inference.unconstrained import Joint, check_pinned, pinned_data

__all__ = ["fit_amortized_posterior", "fit_surrogate_posterior"]

tfd = tfp.distributions


def fit_surrogate_posterior(
    target: Target,
    surrogate: tfd.Distribution,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    num_steps: int = 2000,
    sample_size: int = 32,
    seed: int | None = None,
    jit_compile: bool = False,
) -> np.ndarray:
    """Maximizes the evidence lower bound (ELBO) of a surrogate posterior.

        loss = -ELBO = E_q[log q(x) - log p(x, data)]     in nats, by reparametrized samples

    `tfp.vi.fit_surrogate_posterior` does the work, and takes Keras 3 optimizers itself. Here it is
    one graph, which it is not by itself unless XLA compiles it, and what is not finite
    raises: the target at the first draws, and the loss at the end. The surrogate's variables are
    trained; what the target is made with, such as a prior's flow, is given, where TFP's function
    trains all that the loss touches.

    Args:
      target: A pinned joint distribution, or a function of the latents that returns log p(x, data).
      surrogate: A distribution whose samples fit the target, of `surrogate_posterior` or of
        `tfp.experimental.vi`.
      optimizer: A Keras optimizer, which goes on from its state where it has been used; Adam when
        omitted, with gradients clipped at the norm 10.
      num_steps: Number of steps.
      sample_size: Samples of the surrogate in a step.
      seed: Seed of the samples, an int or a pair of ints.
      jit_compile: Whether XLA compiles the loop.

    Returns:
      The losses `[num_steps]`.

    Raises:
      TypeError: If an argument is of another type, or the surrogate is amortized.
      ValueError: If the target is not finite at the first draws, with the names of the parts of a
        joint distribution that are not; if a loss is not finite; if there is nothing to train.

    Example:

        losses = fit_surrogate_posterior(pinned, surrogate, num_steps=2000, seed=0)
    """
    check_target(target)
    # What tfp.experimental.vi builds can stand for a distribution without being one.
    if not hasattr(surrogate, "experimental_sample_and_log_prob"):
        raise TypeError(f"surrogate must be a distribution. Received: {surrogate!r}.")
    if getattr(surrogate, "is_amortized", False):
        raise TypeError(
            "surrogate must not be amortized; fit_amortized_posterior fits those. "
            f"Received: {surrogate!r}."
        )
    check_structure(target, surrogate)
    check_positive_int(sample_size, "sample_size")
    check_finite(target, surrogate.sample(sample_size, seed=stateless_seed(seed)))

    def fit(**options):
        log_prob = target.unnormalized_log_prob if isinstance(target, Joint) else target
        return tfp.vi.fit_surrogate_posterior(
            log_prob, surrogate, sample_size=sample_size, **options
        )

    return _losses(fit, surrogate, optimizer, num_steps, seed, jit_compile)


def fit_amortized_posterior(
    joint: Joint,
    surrogate: SurrogatePosterior,
    data,
    *,
    batch_size: int = 32,
    optimizer: keras.optimizers.Optimizer | None = None,
    num_steps: int = 2000,
    sample_size: int = 1,
    seed: int | None = None,
    jit_compile: bool = False,
) -> np.ndarray:
    """Maximizes the mean ELBO of an amortized surrogate posterior over data.

        loss = E_data E_q(x given data)[log q(x given data) - log p(x, data)]     in nats

    Each step draws a batch of the data, with replacement.

    Args:
      joint: The pinned joint distribution that the surrogate was made from.
      surrogate: A surrogate posterior with an encoder.
      data: `[count, *data]`, values of what is pinned, as `model.sample(count)` gives them.
      batch_size: Number of data in a step.
      optimizer: As in `fit_surrogate_posterior`.
      num_steps: Number of steps.
      sample_size: Samples of the surrogate for each of the data in a step.
      seed: Seed of the batches and samples, an int or a pair of ints.
      jit_compile: Whether XLA compiles the loop.

    Returns:
      The losses `[num_steps]`.

    Raises:
      TypeError: If an argument is of another type, or the surrogate is not amortized.
      ValueError: As in `fit_surrogate_posterior`, or if the data are of another shape.

    Example:

        surrogate = surrogate_posterior(pinned, encoder=encoder, seed=0)
        fit_amortized_posterior(pinned, surrogate, model.sample(10000).y, seed=0)
        surrogate.sample(1000, condition=data, seed=1)
    """
    check_pinned(joint)
    if not getattr(surrogate, "is_amortized", False):
        raise TypeError(f"surrogate must be amortized, by an encoder. Received: {surrogate!r}.")
    check_structure(joint, surrogate)
    check_positive_int(batch_size, "batch_size")
    check_positive_int(sample_size, "sample_size")
    name, pinned = pinned_data(joint)
    data = _checked_data(data, pinned)

    def draw(seed):
        batch_seed, sample_seed = tfp.random.split_seed(seed)
        places = tf.random.stateless_uniform([batch_size], batch_seed, 0, len(data), tf.int32)
        batch = tf.gather(data, places)
        x, log_q = surrogate.experimental_sample_and_log_prob(
            [sample_size, batch_size], seed=sample_seed, condition=batch
        )
        at_batch = tf.broadcast_to(batch, [sample_size, *batch.shape])
        return joint.distribution.experimental_pin(**{name: at_batch}), x, log_q

    def loss(seed):
        target, x, log_q = draw(seed)
        return tf.reduce_mean(log_q - target.unnormalized_log_prob(x))

    target, x, _ = draw(tfp.random.sanitize_seed(stateless_seed(seed)))
    check_finite(target, x)

    def fit(**options):
        return tfp.math.minimize(loss, **options)

    return _losses(fit, surrogate, optimizer, num_steps, seed, jit_compile)


def _losses(
    fit: Callable, surrogate: tfd.Distribution, optimizer, num_steps: int, seed, jit_compile: bool
) -> np.ndarray:
    """Runs one of TFP's loops as a graph; raises where a loss is not finite."""
    check_positive_int(num_steps, "num_steps")
    check_bool(jit_compile, "jit_compile")
    variables = list(trained_variables(surrogate))
    # Of a surrogate of ours the flow alone: its bijector may hold parts of the model.
    own = getattr(surrogate, "flow", surrogate)
    optimizer, advancing = _built(optimizer, variables), advancing_parts(own)

    def after_step(step):
        for bijector in advancing:
            bijector.advance()
        return step.loss

    @tf.function(autograph=False, jit_compile=jit_compile)
    def run(seed):
        return fit(
            optimizer=optimizer,
            num_steps=num_steps,
            trainable_variables=variables,
            trace_fn=after_step,
            seed=seed,
        )

    losses = run(tfp.random.sanitize_seed(stateless_seed(seed))).numpy()
    for bijector in advancing:
        bijector.converge()
    wrong = np.flatnonzero(~np.isfinite(losses))
    if wrong.size:
        raise ValueError(
            "The loss must stay finite: lower the learning rate, or clip the gradients. "
            f"Received: {losses[wrong[0]]} at step {wrong[0]}."
        )
    return losses


def _built(optimizer, variables: list[tf.Variable]) -> keras.optimizers.Optimizer:
    """The optimizer with its variables, which in a graph it would make at a second trace."""
    if not variables:
        raise ValueError("surrogate must have variables to train. Received: none.")
    optimizer = keras.optimizers.Adam(1e-3, clipnorm=10.0) if optimizer is None else optimizer
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"optimizer must be a Keras optimizer. Received: {optimizer!r}.")
    if not optimizer.built:
        optimizer.build(variables)
    return optimizer


def _checked_data(data, pinned: tf.Tensor) -> tf.Tensor:
    data = tf.convert_to_tensor(data, dtype_hint=pinned.dtype)
    if data.dtype != pinned.dtype:
        raise TypeError(f"data must have dtype {pinned.dtype.name}. Received: {data.dtype.name}.")
    if data.shape.rank != pinned.shape.rank + 1 or data.shape[1:] != pinned.shape:
        shape = ", ".join(["count", *map(str, pinned.shape)])
        raise ValueError(f"data must have shape [{shape}]. Received: shape {tuple(data.shape)}.")
    if not len(data):
        raise ValueError("data must hold at least one example. Received: none.")
    return data
