"""Jet."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import tensorflow_probability as tfp

from tfp_glow.bijectors import (
    ActNorm,
    Chain,
    ClassConditional,
    Coupling,
    FlowBijector,
    Permutation,
    Repeat,
)
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.flows.ingredients import condition_size_of, seeds_from
from tfp_glow.flows.patches import on_patches, patch_grid
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws import AffineSigmoid, Law
from tfp_glow.networks import ViT

__all__ = ["jet"]

tfb = tfp.bijectors
_LAW = AffineSigmoid(floor=0.05, top=1.95, offset=0.0)


@recipe()
def jet(
    image_shape: Sequence[int],
    *,
    patch_size: int = 4,
    blocks: int = 6,
    channel_couplings: int = 4,
    width: int = 128,
    layers: int = 2,
    heads: int = 4,
    law: Literal["affine_softsign", "affine", "affine_exp", "additive"] | Law = _LAW,
    reach: float | None = 10.0,
    marginal_bins: int | None = 32,
    condition_size: int | None = None,
    num_classes: int | None = None,
    reversible: bool = False,
    unroll: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """Jet, a flow on the patches of an image whose couplings are vision transformers.

    An image becomes a sequence of patches, `[tokens, channels]`, whose values each start with a
    standard deviation of 1, by an ActNorm over all of them. Each block has another over channels,
    `channel_couplings` couplings that read half of the channels of all tokens, drawn at random,
    and one that reads half of the tokens with all of their channels: every other one as on a
    checkerboard, every other row, or every other column, in turn. All blocks are one loop. It
    expects data in about [-0.5, 0.5], as `Dequantized` gives them.

    The paper has 32 couplings of 2 layers, 512 wide with 8 heads, no ActNorm and no bound from
    below on the law's scale; it trains by Adam with a rate of 3e-4 that rises for a tenth of
    the steps and falls as a cosine, weight decay 1e-5 and gradients clipped to a norm of 1.

    Args:
      image_shape: `(H, W, C)`; H and W divisible by `patch_size`, into an even number of rows or
        columns.
      patch_size: Side of a patch.
      blocks: Number of blocks.
      channel_couplings: Number of couplings over channels in a block.
      width: Size of a token in the transformers.
      layers: Layers of each transformer.
      heads: Heads of attention, a divisor of `width`.
      law: Law of the couplings, by name or as an object of `tfp_glow.laws`; see `Coupling`.
      reach: The networks see values clipped to [-reach, reach]; None for as they are.
      marginal_bins: Bins of the splines that make each channel's marginal normal, from the first
        batch; see `MarginalGaussianization`. None for none.
      condition_size: Size of a condition vector, which all transformers read, or None.
      num_classes: Number of classes to condition on instead, or None.
      reversible: Whether gradients rebuild activations instead of storing them; see `Repeat`.
      unroll: Whether to write the blocks out instead of looping over them.
      seed: Seed of all initial weights and random orders.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the transformers; `dtype` when omitted.

    Returns:
      A `Flow` on `[H, W, C]` with flat latents `[H * W * C]`, patch by patch.

    Raises:
      ValueError, TypeError: If an argument is out of its range, patches do not fit the image, or
        there is but one value in a patch.

    Example:

        flow = jet((32, 32, 3), patch_size=4, blocks=6, width=512, heads=8, reversible=True)

    References:
      Kolesnikov, Pinto and Tschannen, "Jet: A Modern Transformer-Based Normalizing Flow",
      arXiv:2412.15129.
    """
    rows, columns, channels = _grid(image_shape, patch_size)
    tokens, seeds = rows * columns, seeds_from(seed)
    conditions = condition_size_of(condition_size, num_classes)
    token_orders = _relative(_halves(rows, columns))
    transformer = functools.partial(
        ViT, width=width, layers=layers, heads=heads, dtype=network_dtype or dtype
    )
    condition_shape = None if conditions is None else (conditions,)
    options = {"law": law, "condition_shape": condition_shape, "reach": reach, "dtype": dtype}

    def coupling(*shape: int) -> Coupling:
        network = functools.partial(transformer, seed=next(seeds))
        return Coupling(network, event_shape=shape, **options)

    def over_channels() -> list[FlowBijector]:
        order = np.random.default_rng(next(seeds)).permutation(channels)
        return [Permutation(order, dtype=dtype), coupling(tokens, channels)]

    def over_tokens() -> list[tfb.Bijector]:
        # Each token that is read has its partner's channels, which are changed, behind its own.
        pairs = [tokens // 2, 2 * channels]
        return [
            Permutation(next(token_orders), event_ndims=2, dtype=dtype),
            tfb.Reshape([tokens, channels], pairs),
            coupling(*pairs),
            tfb.Reshape(pairs, [tokens, channels]),
        ]

    def block() -> Chain:
        parts = [part for _ in range(channel_couplings) for part in over_channels()]
        return Chain([ActNorm(channels, dtype=dtype), *parts, *over_tokens()])

    loop = Repeat(block, blocks, reversible=reversible, unroll=unroll)
    bijector = on_patches(loop, image_shape, patch_size, marginal_bins=marginal_bins, dtype=dtype)
    if num_classes is not None:
        bijector = ClassConditional(bijector, num_classes)
    return Flow(standard_normal(math.prod(image_shape), dtype), bijector, name="jet")


def _grid(image_shape, patch_size: int) -> tuple[int, int, int]:
    """Rows and columns of patches that couplings can halve, and the values of one."""
    grid = patch_grid(image_shape, patch_size)
    if grid[0] * grid[1] % 2 or grid[2] < 2:
        raise ValueError(
            "patch_size must cut the image into an even number of patches of two values or more. "
            f"Received: {patch_size} for image_shape={tuple(image_shape)}."
        )
    return grid


def _halves(rows: int, columns: int) -> Iterator[np.ndarray]:
    """Orders of the tokens in which those read and those changed alternate, one a block."""
    row, column = (index.reshape(-1) for index in np.indices((rows, columns)))
    while True:
        for parity in (0, 1):
            for line in (row + column, row, column):
                is_read = line % 2 == parity
                # Where an odd number of lines does not halve the tokens, the checkerboard does.
                if 2 * is_read.sum() != line.size:
                    is_read = (row + column) % 2 == parity
                yield np.stack([np.flatnonzero(is_read), np.flatnonzero(~is_read)], 1).reshape(-1)


def _relative(orders: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Each order in terms of the one before, in which the tokens are."""
    before = None
    for order in orders:
        yield order if before is None else np.argsort(before)[order]
        before = order
