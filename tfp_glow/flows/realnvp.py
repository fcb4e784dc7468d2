"""RealNVP."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tfp_glow.bijectors import (
    ActNorm,
    Chain,
    ClassConditional,
    Coupling,
    MultiScale,
    Repeat,
    Squeeze,
)
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.flows.ingredients import (
    Dropout,
    EventShape,
    MarginalBins,
    Reach,
    check_image,
    condition_size_of,
    dropout_of,
    event_size,
    event_size_to_split,
    last_matrix,
    marginal_bins_of,
    marginals,
    reach_of,
    seeds_from,
    vector_flow,
)
from tfp_glow.flows.recipe import recipe
from tfp_glow.laws import AffineExp, Law, MaskName, get_law
from tfp_glow.networks import MLP, ResNet

__all__ = ["realnvp"]

_CHECKERBOARDS = ("checkerboard_even", "checkerboard_odd")
_HALVES = ("first_half", "second_half")
# Many couplings in a row must not overflow float32 on an outlier: twenty at most multiply by e^40.
_AFFINE_EXP = AffineExp(bound=2.0)


@recipe(
    vectors=("steps", "hidden_units", "dropout", "reversible"),
    images=("levels", "hidden_channels", "blocks"),
)
def realnvp(
    event_shape: EventShape,
    *,
    steps: int = 4,
    hidden_units: Sequence[int] = (64, 64),
    dropout: Dropout = "auto",
    levels: int = 2,
    hidden_channels: int = 32,
    blocks: int = 2,
    law: Literal["affine_softsign", "affine_exp", "affine", "additive", "logistic_mixture"]
    | None = None,
    reach: Reach | None = "auto",
    marginal_bins: MarginalBins | None = "auto",
    condition_size: int | None = None,
    num_classes: int | None = None,
    reversible: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """RealNVP, on vectors or as the multi-scale flow on images.

    On vectors, `steps` times ActNorm and two couplings, which keep the values at even and at odd
    places. On images, each level has three couplings on checkerboards, a squeeze and three
    on channel halves, and factors out half of its channels; the last level has four on
    checkerboards. ActNorm stands before every coupling, where the paper has batch normalization.

    Args:
      event_shape: An int for vectors, `(H, W, C)` for images.
      steps: Pairs of couplings, on vectors.
      hidden_units: Size of each hidden layer of their networks, on vectors.
      dropout: Share of the networks' hidden units that training drops, on vectors; see `MLP`.
        "auto" is 0.1 for 3 values or more behind splines of marginals, 0.2 from 16 on; else 0, as
        in version 0.1.0.
      levels: Number of scales, of images; H and W must be divisible by 2**(levels - 1).
      hidden_channels: Width of the residual networks at the first scale, doubled at each
        further one, of images.
      blocks: Residual blocks of each network, of images.
      law: Law of the couplings; see `Coupling`. `"affine_exp"` is bounded by e^2 here. When omitted
        `"affine_softsign"` on vectors and `"affine_exp"` on images, of which each learns faster.
      reach: The networks see values clipped to [-reach, reach], so that outliers keep latents and
        densities that float32 can tell; "auto" is 4 behind splines of marginals and 10 without
        them, None for as they are, as in version 0.1.0.
      marginal_bins: Bins of the splines that make the marginals normal, of images' channels from
        the first batch on, of vectors' values in training; see `MarginalGaussianization`. "auto"
        is 32, but none for vectors under a condition; None for none, as in version 0.1.0. With
        them, vectors of up to 1024 values have a trained matrix before the base, for linear
        dependence.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      reversible: Whether gradients rebuild activations instead of storing them, on vectors;
        see `Repeat`.
      seed: Seed of all initial weights.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted.

    Returns:
      A `Flow` whose latents are flat.

    Raises:
      ValueError, TypeError: If an argument is out of its range or does not fit the event.

    Example:

        flow = realnvp((32, 32, 3), levels=3, hidden_channels=64, blocks=8)
        flow = realnvp(2, steps=8)

    References:
      Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv:1605.08803.
    """
    conditions = condition_size_of(condition_size, num_classes)
    law = law or ("affine_softsign" if isinstance(event_shape, int) else "affine_exp")
    law = _AFFINE_EXP if law == "affine_exp" else get_law(law)
    marginal_bins = marginal_bins_of(event_shape, marginal_bins, conditions)
    reach = reach_of(reach, marginal_bins)
    dtypes = (dtype, network_dtype or dtype)
    couplings = _Couplings(law, reach, conditions, seeds_from(seed), *dtypes)
    if isinstance(event_shape, int):
        size = event_size_to_split(event_shape)
        network = {
            "hidden_units": hidden_units,
            "dropout": dropout_of(dropout, event_shape, marginal_bins),
        }

        def make_step():
            return Chain([couplings.on_vectors(m, size, **network) for m in ("even", "odd")])

        loop = Repeat(make_step, steps, reversible=reversible)
        return vector_flow(
            event_shape,
            [loop, *last_matrix(event_shape, marginal_bins, dtype=dtype)],
            num_classes=num_classes,
            dtype=dtype,
            name="realnvp",
            marginal_bins=marginal_bins,
            condition_size=condition_size,
        )
    check_image(event_shape, levels=levels, halvings=levels - 1)
    first = marginals(event_shape[-1], marginal_bins, dtype=dtype)
    on_images = functools.partial(couplings.on_images, blocks=blocks)
    image_blocks = _levels(on_images, event_shape, first, levels=levels, width=hidden_channels)
    bijector = MultiScale(image_blocks, event_shape)
    if num_classes is not None:
        bijector = ClassConditional(bijector, num_classes)
    return Flow(standard_normal(event_size(event_shape), dtype), bijector, name="realnvp")


def _levels(
    coupling: Callable, image_shape: Sequence[int], first: list, *, levels: int, width: int
) -> list[Chain]:
    """The blocks of all levels, `first` before them, of `coupling(mask, shape, width=)`."""
    blocks, shape = [], tuple(image_shape)
    for level in range(levels):
        last, on_level = level == levels - 1, functools.partial(coupling, width=width * 2**level)
        checkerboards = [on_level(_CHECKERBOARDS[i % 2], shape) for i in range(4 if last else 3)]
        if last:
            break
        shape = (shape[0] // 2, shape[1] // 2, shape[2] * 4)
        halves = [on_level(_HALVES[i % 2], shape) for i in range(3)]
        blocks.append(Chain([*first, *checkerboards, Squeeze(2), *halves]))
        first, shape = [], (*shape[:2], shape[2] // 2)
    return [*blocks, Chain([*first, *checkerboards])]


@dataclass(frozen=True)
class _Couplings:
    """Makes ActNorm and a coupling with a new network."""

    law: Law
    reach: float | None
    condition_size: int | None
    seeds: Iterator[int]
    dtype: str
    network_dtype: str

    def on_vectors(self, mask: MaskName, size: int, **options) -> Chain:
        return self._chain(self._factory(MLP, **options), mask, (size,))

    def on_images(self, mask: MaskName, shape, *, width: int, blocks: int) -> Chain:
        factory = self._factory(ResNet, hidden_channels=width, blocks=blocks)
        return self._chain(factory, mask, shape)

    def _factory(self, network: type, **options) -> Callable:
        seed = next(self.seeds)
        return functools.partial(network, seed=seed, dtype=self.network_dtype, **options)

    def _chain(self, factory: Callable, mask: MaskName, shape: tuple[int, ...]) -> Chain:
        coupling = Coupling(
            factory,
            law=self.law,
            mask=mask,
            event_shape=shape,
            condition_shape=None if self.condition_size is None else (self.condition_size,),
            reach=self.reach,
            dtype=self.dtype,
        )
        return Chain([ActNorm(shape[-1], dtype=self.dtype), coupling])
