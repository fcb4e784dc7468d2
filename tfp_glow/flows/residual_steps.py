"""What i-ResNet and Residual Flow share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tfp_glow.bijectors import (
    ActNorm,
    Chain,
    ClassConditional,
    FlowBijector,
    Logit,
    MultiScale,
    Repeat,
    ResidualBlock,
    Squeeze,
)
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.flows.ingredients import (
    EventShape,
    MarginalBins,
    check_image,
    event_size,
    marginals,
    vector_flow,
)
from tfp_glow.networks import LipschitzConvNetwork, LipschitzMLP
from tfp_glow.solvers.log_det_estimators import LogDetEstimator

__all__ = ["ResidualSteps"]


@dataclass(frozen=True)
class ResidualSteps:
    """Makes ActNorm and a residual block with a new network."""

    log_det: str | LogDetEstimator
    activation: str
    coefficient: float
    condition_size: int | None
    seeds: Iterator[int]
    dtype: str
    network_dtype: str
    wrap: Callable[[ResidualBlock], FlowBijector]

    def flow(
        self,
        event_shape: EventShape,
        *,
        name: str,
        steps: int,
        hidden_units: Sequence[int],
        levels: int,
        hidden_channels: int,
        alpha: float | None,
        marginal_bins: MarginalBins | None,
        reversible: bool,
        num_classes: int | None,
    ) -> Flow:
        """The whole flow, on vectors or images."""
        size, options = event_size(event_shape), {"reversible": reversible}
        if isinstance(event_shape, int):
            repeat = Repeat(lambda: self._on_vectors(size, hidden_units), steps, **options)
            return vector_flow(
                event_shape,
                [repeat],
                num_classes=num_classes,
                dtype=self.dtype,
                name=name,
                marginal_bins=marginal_bins,
                condition_size=self.condition_size,
            )
        check_image(event_shape, levels=levels, halvings=levels)
        blocks, shape = [], tuple(event_shape)
        first = [] if alpha is None else [Logit(alpha, low=-0.5, high=0.5, dtype=self.dtype)]
        first += marginals(shape[-1], marginal_bins, dtype=self.dtype)
        for _ in range(levels):
            shape = (shape[0] // 2, shape[1] // 2, shape[2] * 4)

            def make_step(shape=shape):
                return self._on_images(shape, hidden_channels)

            blocks.append(Chain([*first, Squeeze(2), Repeat(make_step, steps, **options)]))
            first, shape = [], (*shape[:2], shape[2] // 2)
        bijector = MultiScale(blocks, event_shape)
        if num_classes is not None:
            bijector = ClassConditional(bijector, num_classes)
        return Flow(standard_normal(size, self.dtype), bijector, name=name)

    def _on_vectors(self, size: int, hidden_units: Sequence[int]) -> Chain:
        network = LipschitzMLP(size, hidden_units=hidden_units, **self._network_options())
        return self._chain(network, size, event_ndims=1)

    def _on_images(self, shape: tuple, hidden_channels: int) -> Chain:
        network = LipschitzConvNetwork(
            shape, hidden_channels=hidden_channels, **self._network_options()
        )
        return self._chain(network, shape[-1], event_ndims=3)

    def _network_options(self) -> dict:
        return {
            "coefficient": self.coefficient,
            "activation": self.activation,
            "condition_size": self.condition_size,
            "seed": next(self.seeds),
            "dtype": self.network_dtype,
        }

    def _chain(self, network, channels: int, *, event_ndims: int) -> Chain:
        block = ResidualBlock(
            network,
            log_det=self.log_det,
            event_ndims=event_ndims,
            condition_shape=None if self.condition_size is None else (self.condition_size,),
            seed=next(self.seeds),
            dtype=self.dtype,
        )
        return Chain([ActNorm(channels, dtype=self.dtype), self.wrap(block)])
