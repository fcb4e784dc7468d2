"""One step of flow as Glow composes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from tfp_glow.bijectors.actnorm import ActNorm
from tfp_glow.bijectors.chain import Chain
from tfp_glow.bijectors.coupling import Coupling
from tfp_glow.bijectors.invertible_conv import Invertible1x1Conv
from tfp_glow.core.naming import unique_name
from tfp_glow.laws.elementwise import Law

__all__ = ["GlowStep"]


def GlowStep(  # noqa: N802, since it stands for a class and was one
    channels: int,
    network: Callable,
    *,
    law: str | Law = "affine",
    conv: Literal["lu", "plain"] = "lu",
    start: Literal["rotation", "permutation"] = "rotation",
    event_ndims: int | None = None,
    event_shape: int | Sequence[int] | None = None,
    condition_shape: Iterable[int] | None = None,
    reach: float | None = None,
    seed: int | None = None,
    dtype: str = "float32",
    name: str | None = None,
) -> Chain:
    """Activation normalization, an invertible 1x1 convolution and a coupling, as a `Chain`.

        inverse:  z = coupling^-1(conv^-1(actnorm^-1(x)))
        forward:  x = actnorm(conv(coupling(z)))

    and the log-dets of the three add up over all positions.

    Args:
      channels: Size of the last dimension.
      network: The coupling's network, or a factory of it; see `Coupling`.
      law: The coupling's law; see `Coupling`.
      conv: Parameterization of the 1x1 convolution, `"lu"` or `"plain"`.
      start: What its matrix is at first; see `Invertible1x1Conv`.
      event_ndims: 3 for images, 1 for vectors; that of `event_shape`, or 3, when omitted.
      event_shape: Shape of an event, which a factory needs.
      condition_shape: Event shape of the coupling's condition, or None.
      reach: Of the coupling's network; see `Coupling`.
      seed: Seed of the convolution's start.
      dtype: dtype of the parameters and of the values.
      name: Name of the chain.

    Shapes: `[..., H, W, channels]`, or `[..., channels]` for vectors; the log-det `[...]`.

    Raises:
      ValueError, TypeError: As its three parts do.

    Example:

        network = functools.partial(GlowNetwork, hidden_channels=64)
        step = GlowStep(12, network, event_shape=(8, 8, 12))

    References:
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039, figure 2.
    """
    coupling = Coupling(
        network,
        law=law,
        event_ndims=3 if event_ndims is None and event_shape is None else event_ndims,
        event_shape=event_shape,
        condition_shape=condition_shape,
        reach=reach,
        dtype=dtype,
    )
    mixing = Invertible1x1Conv(channels, parameterization=conv, start=start, seed=seed, dtype=dtype)
    parts = [ActNorm(channels, dtype=dtype), mixing, coupling]
    return Chain(parts, name=name or unique_name(GlowStep))
