"""TarFlow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from tfp_glow.bijectors import (
    AutoregressiveTokens,
    Chain,
    ClassConditional,
    FlowBijector,
    Permutation,
    Recompute,
    Repeat,
)
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.flows.ingredients import condition_size_of, event_size, seeds_from
from tfp_glow.flows.patches import on_patches, patch_grid
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws import AffineSoftsign, Law
from tfp_glow.networks import CausalTransformer

__all__ = ["tarflow"]

_LAW = AffineSoftsign(bound=2.0)


@recipe()
def tarflow(
    image_shape: Sequence[int],
    *,
    patch_size: int = 2,
    width: int = 128,
    blocks: int = 4,
    layers: int = 2,
    heads: int = 4,
    law: Literal["affine_softsign", "affine_exp", "affine", "additive"] | Law = _LAW,
    reach: float | None = 10.0,
    marginal_bins: int | None = 32,
    condition_size: int | None = None,
    num_classes: int | None = None,
    label_dropout: float = 0.1,
    memory_saving: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """TarFlow, an autoregressive flow of transformers over the patches of an image.

    Each block is a causal transformer that reads the patches x_<t and gives shift and log-scale of
    each value of patch t, those of the first patch from nothing:

        inverse:  z_t = law^-1(x_t; transformer(x_<t))    all t at once
        forward:  x_t = law(z_t; transformer(x_<t))       one t after the other

    and the next block reads the patches in reverse order. Before the first block every value gets a
    standard deviation of 1, by an ActNorm over all of them. A density evaluates every transformer
    once. Sampling is a loop over the patches in each block that keeps the keys and values
    of the patches before: its cost grows with `layers` in proportion, and with the number of
    patches as attention does, at most with its square.

    With `num_classes`, one-hot vectors of the classes enter by a linear map, and training drops a
    share of the labels, so that one flow learns the density given a class and, for the class -1,
    that of all; `sample(condition=, guidance=)` draws pictures that show their class more clearly.
    For likelihoods train it by `Dequantized`, for pictures by `Noised`.

    The paper has patches of 2, a width of 768, 8 blocks of 8 layers, and trains with a learning
    rate of 1e-4 on batches of 256. Small ones learn with Adam at 1e-3 to 3e-3, after a warmup.
    Fewer, larger patches are faster: 4 suits images of 28 x 28 on a CPU.

    Args:
      image_shape: `(H, W, C)`; H and W divisible by `patch_size`.
      patch_size: Side of a patch.
      width: Size of a token in the transformers.
      blocks: Number of transformers.
      layers: Layers of attention and MLP of each.
      heads: Heads of attention, a divisor of `width`.
      law: Law of the patches' values; see `Coupling`. The paper's is affine without a bound, under
        which float32 does not hold outliers.
      reach: The networks see values clipped to [-reach, reach], so that outliers keep latents and
        densities that float32 can tell; None for as they are.
      marginal_bins: Bins of the splines that make each channel's marginal normal, from the first
        batch; see `MarginalGaussianization`. None for none.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      label_dropout: Share of the labels that training replaces by the null class -1; 0 for no null
        class, and no guidance.
      memory_saving: Whether gradients evaluate each block again instead of storing what it
        computed; see `Recompute`. To rebuild it from the output, as other flows do, would
        take a loop over the patches.
      seed: Seed of all initial weights.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted.

    Returns:
      A `Flow` on `[H, W, C]` with flat latents `[H * W * C]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range, or patches do not fit the image.

    Example:

        flow = tarflow((28, 28, 1), patch_size=4, num_classes=10)
        flow.sample(10, condition=range(10), guidance=1.0, seed=1)

    References:
      Zhai, Zhang, Nakkiran, Berthelot, Gu, Zheng, Chen, Bautista, Jaitly and Susskind,
      "Normalizing Flows are Capable Generative Models", arXiv:2412.06329.
    """
    rows, columns, channels = patch_grid(image_shape, patch_size)
    tokens = [rows * columns, channels]
    conditions, seeds = condition_size_of(condition_size, num_classes), seeds_from(seed)

    def make_block() -> FlowBijector:
        network = functools.partial(
            CausalTransformer,
            width=width,
            layers=layers,
            heads=heads,
            seed=next(seeds),
            dtype=network_dtype or dtype,
        )
        condition_shape = None if conditions is None else (conditions,)
        block = _block(network, law, tokens, condition_shape, reach, dtype)
        return Recompute(block) if memory_saving else block

    loop = Repeat(make_block, blocks)
    bijector = on_patches(loop, image_shape, patch_size, marginal_bins=marginal_bins, dtype=dtype)
    if num_classes is not None:
        options = {"label_dropout": label_dropout, "seed": next(seeds)}
        bijector = ClassConditional(bijector, num_classes, **options)
    return Flow(standard_normal(event_size(image_shape), dtype), bijector, name="tarflow")


def _block(network: Callable, law, tokens: Sequence[int], condition_shape, reach, dtype) -> Chain:
    """An autoregressive map, behind which the tokens stand in reverse order."""
    autoregressive = AutoregressiveTokens(
        network,
        law=law,
        event_shape=tokens,
        condition_shape=condition_shape,
        reach=reach,
        dtype=dtype,
    )
    backwards = Permutation(np.arange(tokens[0])[::-1], event_ndims=2, dtype=dtype)
    return Chain([autoregressive, backwards])
