"""Glow."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Literal

from tfp_glow.bijectors import FlowBijector, GaussianPrior, GlowStep, Repeat, Squeeze
from tfp_glow.core.checks import check_choice
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.flows.ingredients import check_image, condition_size_of, marginals, seeds_from
from tfp_glow.flows.levels import levels_of_flow, split_prior
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws import get_law
from tfp_glow.networks import GlowNetwork, ImageViT, ZeroConv2D

__all__ = ["glow"]


@recipe()
def glow(
    image_shape: Sequence[int],
    *,
    levels: int = 3,
    steps: int = 8,
    network: Literal["conv", "vit"] = "conv",
    hidden_channels: int = 128,
    layers: int = 2,
    heads: int = 4,
    law: Literal[
        "affine_softsign", "affine", "affine_exp", "additive", "logistic_mixture"
    ] = "affine_softsign",
    reach: float | None = 10.0,
    conv: Literal["lu", "plain"] = "lu",
    marginal_bins: int | None = 32,
    condition_size: int | None = None,
    num_classes: int | None = None,
    prior: Literal["learned", "standard"] = "learned",
    factor_out: float = 0.5,
    reversible: bool = False,
    unroll: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """Glow, a multi-scale flow on images.

    Each level squeezes 2x2 patches into channels, runs `steps` steps of flow (ActNorm,
    invertible 1x1 convolution, coupling) and factors a part of its channels out, whose
    Gaussian prior is read off the kept part. It expects data in about [-0.5, 0.5], as
    `Dequantized` gives them; call `initialize` with a batch, or let `FlowModel.fit` do it.

    Args:
      image_shape: `(H, W, C)`; H and W divisible by 2**levels.
      levels: Number of scales.
      steps: Steps of flow at each scale.
      network: Of the couplings: the paper's convolutions, or `"vit"`, a vision transformer whose
        tokens are the positions of the squeezed image. Any network leaves the log-det exact.
      hidden_channels: Width of the couplings' networks.
      layers: Layers of a vit.
      heads: Heads of attention of a vit, a divisor of `hidden_channels`.
      law: Law of the couplings; see `Coupling`. With `"affine_softsign"` the priors of a learned
        prior are bounded likewise, by e^2. The paper has `"affine"`.
      reach: The networks see values clipped to [-reach, reach], so that outliers keep latents and
        densities that float32 can tell; None for as they are, as in version 0.1.0.
      conv: Parameterization of the 1x1 convolutions.
      marginal_bins: Bins of the splines that make each channel's marginal normal, from the first
        batch; see `MarginalGaussianization`. None for none, as in version 0.1.0.
      condition_size: Size of a condition vector, which all couplings' networks read, or None.
      num_classes: Number of classes for a class-conditional prior at the top instead, or None.
      prior: `"learned"` Gaussians, or `"standard"` normals for all latents.
      factor_out: Fraction of the channels that leaves at each level but the last.
      reversible: Whether gradients rebuild activations instead of storing them; see `Repeat`.
      unroll: Whether to write the steps out instead of looping over them.
      seed: Seed of all initial weights.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted. With
        `"mixed_bfloat16"` wide networks run faster where the hardware multiplies bfloat16, at a
        small cost in likelihood; do not join it with `reversible`, whose rebuilt activations
        then differ from those of the forward pass.

    Returns:
      A `Flow` on `[H, W, C]` with flat latents `[H * W * C]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range, or the image cannot be halved
        `levels` times.

    Example:

        flow = glow((32, 32, 3), levels=3, steps=32, hidden_channels=512)
        flow.sample(16, temperature=0.7, seed=1)

    References:
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039.
      Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929, for the vit.
    """
    _check_arguments(image_shape, levels, num_classes, prior)
    check_choice(network, ("conv", "vit"), "network")
    get_law(law)
    condition_size_of(condition_size, num_classes)
    seeds = seeds_from(seed)
    network_dtype = network_dtype or dtype
    make_network = (
        functools.partial(GlowNetwork, hidden_channels=hidden_channels)
        if network == "conv"
        else functools.partial(ImageViT, width=hidden_channels, layers=layers, heads=heads)
    )

    def make_step(shape):
        return GlowStep(
            shape[-1],
            functools.partial(make_network, seed=next(seeds), dtype=network_dtype),
            law=law,
            reach=reach,
            conv=conv,
            event_shape=shape,
            condition_shape=None if condition_size is None else (condition_size,),
            seed=next(seeds),
            dtype=dtype,
        )

    def make_steps(shape) -> Repeat:
        depth = {"reversible": reversible, "unroll": unroll}
        return Repeat(lambda: make_step(shape), steps, **depth)

    def make_prior(shape, kept: int) -> FlowBijector | None:
        *positions, channels = shape
        if prior == "standard":
            return None
        if kept == channels:
            return GaussianPrior(channels, num_classes=num_classes, dtype=dtype)
        network = ZeroConv2D(2 * (channels - kept), 3, dtype=network_dtype)
        network.build((None, *positions, kept))
        return split_prior(network, shape, kept, law=law, reach=reach, dtype=dtype)

    bijector = levels_of_flow(
        image_shape,
        levels,
        squeeze=lambda _: Squeeze(2),
        steps=make_steps,
        prior=make_prior,
        factor_out=factor_out,
        first=marginals(image_shape[-1], marginal_bins, dtype=dtype),
    )
    return Flow(standard_normal(math.prod(image_shape), dtype), bijector, name="glow")


def _check_arguments(image_shape, levels, num_classes, prior) -> None:
    check_choice(prior, ("learned", "standard"), "prior")
    check_image(image_shape, levels=levels, halvings=levels, argument="image_shape")
    if num_classes is not None and prior != "learned":
        raise ValueError(
            f"num_classes needs prior='learned', which carries the classes. Received: {prior!r}."
        )
