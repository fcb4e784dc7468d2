"""i-ResNet and Residual Flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tfp_glow.bijectors import (
    ActNorm,
    Chain,
    ClassConditional,
    FlowBijector,
    Logit,
    MultiScale,
    Recompute,
    Repeat,
    ResidualBlock,
    Squeeze,
)
from tfp_glow.core.checks import check_positive_int
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.flows.ingredients import (
    EventShape,
    check_image,
    condition_size_of,
    event_size,
    seeds_from,
    vector_flow,
)
from tfp_glow.flows.recipe import recipe
from tfp_glow.networks import LipschitzConvNetwork, LipschitzMLP
from tfp_glow.solvers.log_det_estimators import LogDetEstimator, PowerSeries, RussianRoulette

__all__ = ["iresnet", "residual_flow"]


@recipe
def iresnet(
    event_shape: EventShape,
    *,
    steps: int = 8,
    hidden_units: Sequence[int] = (64, 64),
    levels: int = 2,
    hidden_channels: int = 32,
    alpha: float | None = 0.05,
    coefficient: float = 0.9,
    terms: int = 5,
    exact: bool = False,
    reversible: bool = False,
    condition_size: int | None = None,
    num_classes: int | None = None,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """i-ResNet: residual blocks of ELU networks, with a truncated series for the log-det.

    On vectors `steps` times ActNorm and a residual block; on images as many at each level, which
    begins with a squeeze and factors half of its channels out. Images begin with a logit, since
    contractions can stretch the narrow bins of frequent pixel values only so much.

    Args:
      event_shape: An int for vectors, `(H, W, C)` for images.
      steps: Residual blocks, at each level of images.
      hidden_units: Size of each hidden layer of their networks, on vectors.
      levels: Number of scales, of images; H and W must be divisible by 2**levels.
      hidden_channels: Width of the convolutional networks, on images.
      alpha: What the logit of images in [-0.5, 0.5], the first layer, leaves free at both ends, as
        a share of the interval; None for no logit.
      coefficient: Bound of the spectral norm of every layer, below 1.
      terms: Terms of the series in training; 20 in evaluation.
      exact: Whether to compute the whole Jacobian instead, for events of up to 64 values.
      reversible: Whether gradients rebuild activations by the fixed-point iteration instead of
        storing them; see `Repeat`.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      seed: Seed of all initial weights and of the noise.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted.

    Returns:
      A `Flow` whose latents are flat.

    Raises:
      ValueError, TypeError: If an argument is out of its range or does not fit the event.

    Example:

        flow = iresnet(2, steps=16, exact=True)

    References:
      Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen, "Invertible Residual Networks",
      arXiv:1811.00995.
    """
    blocks = _Blocks(
        log_det="exact" if exact else PowerSeries(terms),
        activation="elu",
        coefficient=coefficient,
        condition_size=condition_size_of(condition_size, num_classes),
        seeds=seeds_from(seed),
        dtype=dtype,
        network_dtype=network_dtype or dtype,
        wrap=lambda block: block,
    )
    return blocks.flow(
        event_shape,
        name="iresnet",
        steps=steps,
        hidden_units=hidden_units,
        levels=levels,
        hidden_channels=hidden_channels,
        alpha=alpha,
        reversible=reversible,
        num_classes=num_classes,
    )


@recipe
def residual_flow(
    event_shape: EventShape,
    *,
    steps: int = 8,
    hidden_units: Sequence[int] = (64, 64),
    levels: int = 2,
    hidden_channels: int = 32,
    alpha: float | None = 0.05,
    coefficient: float = 0.9,
    distribution: Literal["geometric", "poisson"] = "geometric",
    exact_terms: int = 2,
    exact: bool = False,
    memory_saving: bool = False,
    reversible: bool = False,
    condition_size: int | None = None,
    num_classes: int | None = None,
    seed: int | None = None,
    dtype: str = "float32",
    network_dtype: str | None = None,
) -> Flow:
    """Residual Flow: residual blocks of LipSwish networks, with an unbiased log-det.

    Built as `iresnet` is; densities are estimated by a Russian roulette in training, and with 20
    terms in evaluation.

    Args:
      event_shape: An int for vectors, `(H, W, C)` for images.
      steps: Residual blocks, at each level of images.
      hidden_units: Size of each hidden layer of their networks, on vectors.
      levels: Number of scales, of images; H and W must be divisible by 2**levels.
      hidden_channels: Width of the convolutional networks, on images.
      alpha: What the logit of images in [-0.5, 0.5], the first layer, leaves free at both ends, as
        a share of the interval; None for no logit.
      coefficient: Bound of the spectral norm of every layer, below 1.
      distribution: Of the number of terms; see `RussianRoulette`.
      exact_terms: Terms of the series that are always there.
      exact: Whether to compute the whole Jacobian instead, for events of up to 64 values.
      memory_saving: Whether gradients evaluate each block again; see `Recompute`.
      reversible: Whether gradients rebuild activations by the fixed-point iteration instead of
        storing them; see `Repeat`.
      condition_size: Size of a condition vector, or None.
      num_classes: Number of classes to condition on instead, or None.
      seed: Seed of all initial weights and of the noise.
      dtype: dtype of data, latents and log-dets.
      network_dtype: Keras dtype or policy of the networks; `dtype` when omitted.

    Returns:
      A `Flow` whose latents are flat.

    Raises:
      ValueError, TypeError: If an argument is out of its range or does not fit the event.

    Example:

        flow = residual_flow((28, 28, 1), steps=16, hidden_channels=512, alpha=1e-6)

    References:
      Chen, Behrmann, Duvenaud and Jacobsen, "Residual Flows for Invertible Generative Modeling",
      arXiv:1906.02735.
    """
    estimator = RussianRoulette(exact_terms=exact_terms, distribution=distribution)
    blocks = _Blocks(
        log_det="exact" if exact else estimator,
        activation="lipswish",
        coefficient=coefficient,
        condition_size=condition_size_of(condition_size, num_classes),
        seeds=seeds_from(seed),
        dtype=dtype,
        network_dtype=network_dtype or dtype,
        wrap=Recompute if memory_saving else lambda block: block,
    )
    return blocks.flow(
        event_shape,
        name="residual_flow",
        steps=steps,
        hidden_units=hidden_units,
        levels=levels,
        hidden_channels=hidden_channels,
        alpha=alpha,
        reversible=reversible,
        num_classes=num_classes,
    )


@dataclass(frozen=True)
class _Blocks:
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
        reversible: bool,
        num_classes: int | None,
    ) -> Flow:
        """The whole flow, on vectors or images."""
        size, options = event_size(event_shape), {"reversible": reversible}
        if isinstance(event_shape, int):
            repeat = Repeat(lambda: self._on_vectors(size, hidden_units), steps, **options)
            return vector_flow(
                event_shape, [repeat], num_classes=num_classes, dtype=self.dtype, name=name
            )
        check_positive_int(levels, "levels")
        check_image(event_shape, levels=levels, halvings=levels)
        first = [] if alpha is None else [Logit(alpha, low=-0.5, high=0.5, dtype=self.dtype)]
        blocks, shape = [], tuple(event_shape)
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
