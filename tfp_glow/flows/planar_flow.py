"""Planar, radial and Sylvester flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tfp_glow.bijectors import ActNorm, FlowBijector, Planar, Radial, Repeat, Sylvester
from tfp_glow.flow import Flow
from tfp_glow.flows.ingredients import EventShape, event_size, seeds_from, vector_flow
from tfp_glow.flows.recipe import recipe

__all__ = ["planar", "radial", "sylvester"]


@recipe
def planar(
    event_shape: EventShape,
    *,
    steps: int = 16,
    reversible: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
) -> Flow:
    """ActNorm and planar transformations; see `Planar`.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      steps: Number of transformations.
      reversible: Whether gradients rebuild activations instead of storing them; see `Repeat`.
      seed: Seed of the initial directions.
      dtype: dtype of data, latents and log-dets.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        flow = planar(2, steps=32)
        z = flow.encode(x)

    References:
      Rezende and Mohamed, "Variational Inference with Normalizing Flows", arXiv:1505.05770.
    """
    size, seeds = event_size(event_shape), seeds_from(seed)

    def make_step() -> FlowBijector:
        return Planar(size, seed=next(seeds), dtype=dtype)

    return _flow(event_shape, make_step, steps, reversible, dtype, "planar")


@recipe
def radial(
    event_shape: EventShape,
    *,
    steps: int = 16,
    reversible: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
) -> Flow:
    """ActNorm and radial transformations; see `Radial`.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      steps: Number of transformations.
      reversible: Whether gradients rebuild activations instead of storing them; see `Repeat`.
      seed: Seed of the initial centers.
      dtype: dtype of data, latents and log-dets.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        flow = radial(2, steps=32)
        z = flow.encode(x)

    References:
      Rezende and Mohamed, "Variational Inference with Normalizing Flows", arXiv:1505.05770.
    """
    size, seeds = event_size(event_shape), seeds_from(seed)

    def make_step() -> FlowBijector:
        return Radial(size, seed=next(seeds), dtype=dtype)

    return _flow(event_shape, make_step, steps, reversible, dtype, "radial")


@recipe
def sylvester(
    event_shape: EventShape,
    *,
    steps: int = 8,
    directions: int | None = None,
    basis: Literal["orthogonal", "householder"] = "orthogonal",
    reversible: bool = False,
    seed: int | None = None,
    dtype: str = "float32",
) -> Flow:
    """ActNorm and Sylvester transformations; see `Sylvester`.

    Args:
      event_shape: An int for vectors, or the shape of events that are read as vectors.
      steps: Number of transformations.
      directions: Directions of each, one graph node after the other; 8, or the event's size if
        that is smaller, when omitted.
      basis: How the directions are parametrized.
      reversible: Whether gradients rebuild activations instead of storing them; see `Repeat`.
      seed: Seed of the initial directions.
      dtype: dtype of data, latents and log-dets.

    Returns:
      A `Flow` with latents `[size]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        flow = sylvester(8, directions=4)
        z = flow.encode(x)

    References:
      van den Berg, Hasenclever, Tomczak and Welling, "Sylvester Normalizing Flows for
      Variational Inference", arXiv:1803.05649.
    """
    size, seeds = event_size(event_shape), seeds_from(seed)
    options = {"directions": directions or min(size, 8), "basis": basis, "dtype": dtype}

    def make_step() -> FlowBijector:
        return Sylvester(size, seed=next(seeds), **options)

    return _flow(event_shape, make_step, steps, reversible, dtype, "sylvester")


def _flow(
    event_shape: EventShape,
    make_step: Callable[[], FlowBijector],
    steps: int,
    reversible: bool,
    dtype: str,
    name: str,
) -> Flow:
    size = event_size(event_shape)
    bijectors = [ActNorm(size, dtype=dtype), Repeat(make_step, steps, reversible=reversible)]
    return vector_flow(event_shape, bijectors, num_classes=None, dtype=dtype, name=name)
