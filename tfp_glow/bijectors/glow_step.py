"""One step of flow as Glow composes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from tfp_glow.bijectors.actnorm import ActNorm
from tfp_glow.bijectors.chain import Chain
from tfp_glow.bijectors.coupling import Coupling
from tfp_glow.bijectors.invertible_conv import Invertible1x1Conv
from tfp_glow.core.bijector import FlowBijector
from tfp_glow.laws.elementwise import Law

__all__ = ["GlowStep"]


class GlowStep(FlowBijector):
    """Activation normalization, an invertible 1x1 convolution and a coupling.

        inverse:  z = coupling^-1(conv^-1(actnorm^-1(x)))
        forward:  x = actnorm(conv(coupling(z)))

    and the log-dets of the three add up over all positions.

    Args:
      channels: Size of the last dimension.
      network: The coupling's network; see `Coupling`.
      law: The coupling's law; see `Coupling`.
      conv: Parameterization of the 1x1 convolution, `"lu"` or `"plain"`.
      event_ndims: 3 for images, 1 for vectors.
      condition_shape: Event shape of the coupling's condition, or None.
      seed: Seed of the convolution's rotation.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., H, W, channels]`, or `[..., channels]` for vectors; the log-det `[...]`.

    Raises:
      ValueError, TypeError: As its three parts do.

    Example:

        network = GlowNetwork(12, hidden_channels=64, input_shape=(8, 8, 6))
        step = GlowStep(12, network, event_ndims=3)

    References:
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039, figure 2.
    """

    def __init__(
        self,
        channels: int,
        network: Callable,
        *,
        law: str | Law = "affine",
        conv: Literal["lu", "plain"] = "lu",
        event_ndims: int = 3,
        condition_shape: Iterable[int] | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        parameters = dict(locals())
        chain = Chain(
            [
                ActNorm(channels, dtype=dtype),
                Invertible1x1Conv(channels, parameterization=conv, seed=seed, dtype=dtype),
                Coupling(
                    network,
                    law=law,
                    event_ndims=event_ndims,
                    condition_shape=condition_shape,
                    dtype=dtype,
                ),
            ]
        )
        super().__init__(
            forward_min_event_ndims=event_ndims,
            condition_shape=condition_shape,
            dtype=dtype,
            parameters=parameters,
            name=name,
        )
        self._makes_variables = True
        self._chain = self._no_dependency(chain)
        self.track_bijectors([chain])

    def _forward_and_log_det(self, z, condition=None):
        return self._chain._forward_and_log_det(z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._chain._inverse_and_log_det(x, condition)

    def _rebuild_and_differentiate(self, direction, output, condition, gradients):
        return self._chain._rebuild_and_differentiate(direction, output, condition, gradients)

    def _initialize(self, x, condition=None):
        return self._chain._initialize(x, condition)
