"""The linear flow."""

from __future__ import annotations

from tfp_glow.bijectors import ActNorm, Invertible1x1Conv
from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import EventShape, event_size, seeds_from, vector_flow
from tfp_glow.flows.recipe import recipe

__all__ = ["linear"]


@recipe()
def linear(event_shape: EventShape, *, seed: int | None = None, dtype: str = "float32") -> Flow:
    """A Gaussian with any mean and covariance, as a flow: ActNorm and an invertible matrix.

        x = W (exp(s) * z + b),     p(x) = Normal(W b, W diag(exp(2 s)) W^T)

    It is what other flows are compared with, and a component of Gaussian mixtures.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      seed: Seed of the initial matrix, a rotation.
      dtype: dtype of data, latents and log-dets.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        components = stack([linear(2, seed=seed) for seed in range(8)])
    """
    size = event_size(event_shape)
    matrix = Invertible1x1Conv(size, seed=next(seeds_from(seed)), dtype=dtype)
    bijectors = [matrix, ActNorm(size, dtype=dtype)]
    return vector_flow(event_shape, bijectors, num_classes=None, dtype=dtype, name="linear")
