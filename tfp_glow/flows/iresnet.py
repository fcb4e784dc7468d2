"""i-ResNet."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import EventShape, MarginalBins, condition_size_of, seeds_from
from tfp_glow.flows.recipe import recipe
from tfp_glow.flows.residual_steps import ResidualSteps
from tfp_glow.solvers.log_det_estimators import PowerSeries

__all__ = ["iresnet"]


@recipe(vectors=("hidden_units",), images=("levels", "hidden_channels", "alpha"))
def iresnet(
    event_shape: EventShape,
    *,
    steps: int = 8,
    hidden_units: Sequence[int] = (64, 64),
    levels: int = 2,
    hidden_channels: int = 32,
    alpha: float | None = 0.05,
    marginal_bins: MarginalBins | None = "auto",
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
      marginal_bins: Bins of the splines that make the marginals normal, of images' channels from
        the first batch on, of vectors' values in training; see `MarginalGaussianization`. "auto"
        is 32, but none for vectors under a condition; None for none, as in version 0.1.0.
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
    blocks = ResidualSteps(
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
        marginal_bins=marginal_bins,
        reversible=reversible,
        num_classes=num_classes,
    )
