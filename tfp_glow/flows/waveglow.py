"""WaveGlow."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Literal

import tensorflow_probability as tfp

from tfp_glow.bijectors import (
    Chain,
    ClassConditional,
    FlowBijector,
    GaussianPrior,
    GlowStep,
    Repeat,
)
from tfp_glow.core.checks import check_sizes
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.flows.ingredients import condition_size_of, seeds_from
from tfp_glow.flows.levels import levels_of_flow, split_prior
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws import Law
from tfp_glow.networks import WaveNet

__all__ = ["waveglow"]

tfb = tfp.bijectors


@recipe()
def waveglow(
    event_shape: Sequence[int],
    *,
    levels: int = 3,
    steps: int = 4,
    hidden_channels: int = 64,
    layers: int = 4,
    law: Literal["affine_softsign", "affine", "affine_exp", "additive"] | Law = "affine_softsign",
    reach: float | None = 10.0,
    conv: Literal["lu", "plain"] = "lu",
    condition_size: int | None = None,
    num_classes: int | None = None,
    factor_out: float = 0.5,
    reversible: bool = False,
    unroll: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """WaveGlow, a Glow on sequences: raw audio, or the frames of a spectrogram.

    Each level squeezes pairs of times into channels,

        inverse:  z[t, i * C + c] = x[2 t + i, c]

    runs `steps` steps of flow (ActNorm, invertible 1x1 convolution, coupling by a `WaveNet`), and
    factors a part of its channels out, whose Gaussian prior is read off the kept part, as
    FloWaveNet's is. Call `initialize` with a batch, or let `FlowModel.fit` do it.

    WaveGlow itself is conditioned on mel spectrograms, has 12 steps with networks of 8 layers, 512
    wide, on groups of 8 samples, factors 2 channels out after every 4 steps, without a prior that
    is read off, and has no ActNorm. Here conditions are vectors or classes, for the whole sequence.

    Args:
      event_shape: `(T, C)`, T divisible by 2**levels. An event of more dimensions, such as a
        spectrogram `(T, F, 1)`, is read as T times with all its other values.
      levels: Number of scales.
      steps: Steps of flow at each scale.
      hidden_channels: Width of the couplings' networks.
      layers: Dilated convolutions of each network, which sees about 2**layers times to both sides.
      law: Law of the couplings; see `Coupling`.
      reach: The networks see values clipped to [-reach, reach]; None for as they are.
      conv: Parameterization of the 1x1 convolutions.
      condition_size: Size of a condition vector, which all networks read, or None.
      num_classes: Number of classes to condition on instead, or None.
      factor_out: Fraction of the channels that leaves at each level but the last.
      reversible: Whether gradients rebuild activations instead of storing them; see `Repeat`.
      unroll: Whether to write the steps out instead of looping over them.
      seed: Seed of all initial weights.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted.

    Returns:
      A `Flow` on `[*event_shape]` with flat latents.

    Raises:
      ValueError, TypeError: If an argument is out of its range, or T cannot be halved `levels`
        times.

    Example:

        flow = waveglow((1024, 1), levels=5, num_classes=10)
        model = FlowModel(Dequantized(flow, num_bins=65536))

    References:
      Prenger, Valle and Catanzaro, "WaveGlow: A Flow-based Generative Network for Speech
      Synthesis", arXiv:1811.00002.
      Kim, Lee, Song, Kim and Yoon, "FloWaveNet: A Generative Flow for Raw Audio",
      arXiv:1811.02155.
    """
    sequence = _sequence_shape(event_shape, levels)
    conditions = condition_size_of(condition_size, num_classes)
    seeds, network_dtype = seeds_from(seed), network_dtype or dtype
    condition_shape = None if conditions is None else (conditions,)

    def network(layers: int):
        return functools.partial(
            WaveNet,
            hidden_channels=hidden_channels,
            layers=layers,
            seed=next(seeds),
            dtype=network_dtype,
        )

    def make_step(shape) -> Chain:
        return GlowStep(
            shape[-1],
            network(layers),
            law=law,
            reach=reach,
            conv=conv,
            event_shape=shape,
            condition_shape=condition_shape,
            seed=next(seeds),
            dtype=dtype,
        )

    def make_steps(shape) -> Repeat:
        depth = {"reversible": reversible, "unroll": unroll}
        return Repeat(lambda: make_step(shape), steps, **depth)

    def make_prior(shape, kept: int) -> FlowBijector:
        if kept == shape[-1]:
            return GaussianPrior(kept, event_ndims=2, dtype=dtype)
        return split_prior(
            network(layers=1),
            shape,
            kept,
            law=law,
            reach=reach,
            condition_shape=condition_shape,
            dtype=dtype,
        )

    bijector = levels_of_flow(
        sequence, levels, squeeze=_pairs, steps=make_steps, prior=make_prior, factor_out=factor_out
    )
    if len(event_shape) != 2:
        bijector = Chain([tfb.Reshape(list(event_shape), list(sequence)), bijector])
    if num_classes is not None:
        bijector = ClassConditional(bijector, num_classes)
    return Flow(standard_normal(math.prod(sequence), dtype), bijector, name="waveglow")


def _sequence_shape(event_shape, levels: int) -> tuple[int, int]:
    length, *channels = check_sizes(event_shape, "event_shape")
    if not channels:
        raise ValueError(f"event_shape must be (T, C). Received: {event_shape!r}.")
    if length % 2**levels:
        raise ValueError(
            f"event_shape must have a T divisible by {2**levels}. "
            f"Received: {tuple(event_shape)} with levels={levels}."
        )
    return length, math.prod(channels)


def _pairs(shape: tuple[int, int]) -> tfb.Reshape:
    """Each pair of times as one of twice the channels."""
    length, channels = shape
    return tfb.Reshape([length, channels], [length // 2, 2 * channels])
