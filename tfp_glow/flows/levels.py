"""Levels of a Glow, on images and on sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow_probability as tfp

from tfp_glow.bijectors import Chain, Coupling, FlowBijector, MultiScale
from tfp_glow.bijectors.multiscale import factored_channels
from tfp_glow.laws import AffineSoftsign

__all__ = ["levels_of_flow", "split_prior"]

tfb = tfp.bijectors
Shape = tuple[int, ...]


def levels_of_flow(
    event_shape: Sequence[int],
    levels: int,
    *,
    squeeze: Callable[[Shape], tfb.Bijector],
    steps: Callable[[Shape], FlowBijector],
    prior: Callable[[Shape, int], FlowBijector | None],
    factor_out: float,
    first: Sequence[FlowBijector] = (),
) -> MultiScale:
    """Squeezes, runs steps of flow and factors channels out, level by level.

    Args:
      event_shape: Shape of an event, channels last.
      levels: Number of levels.
      squeeze: From the shape before a level to what brings positions into channels.
      steps: From the squeezed shape to the level's steps of flow.
      prior: From the squeezed shape and the channels that are kept, all of them at the top, to the
        prior of those factored out, or, at the top, of all. None for a standard normal.
      factor_out: Fraction of the channels that leaves at each level but the last.
      first: What data go through before the first level.
    """
    blocks, shape = [], tuple(event_shape)
    for level in range(levels):
        fold = squeeze(shape)
        *positions, channels = shape = tuple(fold.inverse_event_shape(shape))
        last = level == levels - 1
        kept = channels if last else channels - factored_channels(channels, factor_out)
        parts = [*first, fold, steps(shape), prior(shape, kept)]
        blocks.append(Chain([part for part in parts if part is not None]))
        first, shape = (), (*positions, kept)
    return MultiScale(blocks, event_shape, factor_out=factor_out)


def split_prior(
    network: Callable, shape: Shape, kept: int, *, law, reach: float | None, **kwargs
) -> Coupling:
    """The Gaussian prior of the factored channels given the kept ones, as a coupling.

    Args:
      network: From the kept channels to the prior's parameters, or a factory; see `Coupling`.
      shape: Shape of an event, channels last.
      kept: Channels that are kept, which come first.
      law: Law of the flow's couplings. The priors of `"affine_softsign"` are bounded by e^2.
      reach: The network sees the kept values clipped to [-reach, reach].
      **kwargs: Other arguments of the coupling.
    """
    law = AffineSoftsign(bound=2.0) if law == "affine_softsign" else "affine_exp"
    mask = [index < kept for index in range(shape[-1])]
    return Coupling(network, law=law, mask=mask, event_shape=shape, reach=reach, **kwargs)
