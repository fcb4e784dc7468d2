"""The noise of variational dequantization."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import Chain, Coupling
from tfp_glow.core.checks import check_dtype, event_dimensions
from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import EventShape, event_size_to_split, seeds_from
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws import AffineSoftsign, Law
from tfp_glow.networks import MLP, ImageReader

__all__ = ["dequantization_noise"]

tfb, tfd = tfp.bijectors, tfp.distributions
_LAW = AffineSoftsign(bound=2.0)
_MASKS = {1: ("even", "odd"), 3: ("checkerboard_even", "checkerboard_odd")}


@recipe()
def dequantization_noise(
    event_shape: EventShape,
    *,
    couplings: int = 4,
    hidden_units: Sequence[int] = (64,),
    hidden_channels: int = 32,
    blocks: int = 1,
    law: str | Law = _LAW,
    seed: int | None = None,
    dtype: str = "float32",
) -> Flow:
    """Noise q(u given x) in (0, 1) that suits the integers x it is added to.

        u = sigmoid(couplings(e; x)),   e logistic

    Couplings that keep the values at even and at odd places in turn, on checkerboards of images,
    read x beside what they keep. Where they do nothing u is uniform, so that the bound starts close
    to that of uniform noise. For `Dequantized(flow, num_bins, noise=...)`.

    Args:
      event_shape: Shape of the integers: an int for vectors, or `(H, W, C)`.
      couplings: Number of couplings, 2 or more to transform all values.
      hidden_units: Size of each hidden layer of their networks, on vectors.
      hidden_channels: Width of their residual networks, on images.
      blocks: Residual blocks of each, on images.
      law: Law of the couplings; see `Coupling`.
      seed: Seed of the initial weights.
      dtype: dtype of noise, latents and log-dets.

    Returns:
      A `Flow` on u, whose condition is x, centred, as a flat vector.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        flow = glow((8, 8, 1), levels=2)
        distribution = Dequantized(flow, 17, noise=dequantization_noise((8, 8, 1)))

    References:
      Ho, Chen, Srinivas, Duan and Abbeel, "Flow++: Improving Flow-Based Generative Models with
      Variational Dequantization and Architecture Design", arXiv:1902.00275, section 3.1.
    """
    ndims, shape = event_dimensions(None, event_shape)
    if ndims not in _MASKS:
        raise ValueError(f"event_shape must be an int or (H, W, C). Received: {event_shape!r}.")
    size, seeds = event_size_to_split(event_shape), seeds_from(seed)
    make: Callable = functools.partial(MLP, hidden_units=hidden_units, activation="relu")
    if ndims == 3:
        make = functools.partial(ImageReader, hidden_channels=hidden_channels, blocks=blocks)
    parts = [
        Coupling(
            functools.partial(make, seed=next(seeds), dtype=dtype),
            law=law,
            mask=_MASKS[ndims][index % 2],
            event_shape=shape,
            condition_shape=(size,),
            reach=10.0,
            dtype=dtype,
        )
        for index in range(couplings)
    ]
    zero = tf.zeros([], check_dtype(dtype))
    base = tfd.Sample(tfd.Logistic(zero, zero + 1.0), shape)
    return Flow(base, Chain([tfb.Sigmoid(), *parts]), name="dequantization_noise")
