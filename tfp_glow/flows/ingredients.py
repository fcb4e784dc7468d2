"""What the recipes share: event shapes, conditions and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import tensorflow_probability as tfp

from tfp_glow.bijectors import (
    Chain,
    ClassConditional,
    FlowBijector,
    Invertible1x1Conv,
    MarginalGaussianization,
)
from tfp_glow.core.checks import check_positive_int, check_sizes, event_dimensions
from tfp_glow.core.randomness import random_generator
from tfp_glow.flow import Flow, standard_normal

__all__ = [
    "Dropout",
    "EventShape",
    "MarginalBins",
    "Reach",
    "check_image",
    "condition_size_of",
    "dropout_of",
    "event_size",
    "event_size_to_split",
    "last_matrix",
    "many_columns",
    "marginal_bins_of",
    "marginals",
    "reach_of",
    "seeds_from",
    "vector_flow",
]

tfb, tfd = tfp.bijectors, tfp.distributions
EventShape = int | Sequence[int]
MarginalBins = int | Literal["auto"]
Reach = float | Literal["auto"]
Dropout = float | Literal["auto"]
_BINS = 32
_MANY_COLUMNS, _LARGEST_MATRIX = 16, 1024


def event_size(event_shape: EventShape) -> int:
    """The number of values of an event."""
    return math.prod(event_dimensions(None, _given(event_shape, "event_shape"))[1])


def event_size_to_split(event_shape: EventShape) -> int:
    """The number of values of an event, of which couplings keep some and change the others."""
    size = event_size(event_shape)
    if size < 2:
        raise ValueError(
            "event_shape must have at least 2 values, of which couplings keep some; of one value "
            f"there are flows.maf, iaf and others. Received: {event_shape!r}."
        )
    return size


def check_image(
    image_shape: Sequence[int], *, levels: int, halvings: int, argument: str = "event_shape"
) -> None:
    """Raises unless the shape is one of images whose sides can be halved as `levels` do it."""
    if isinstance(image_shape, str) or np.ndim(_given(image_shape, argument)) != 1:
        raise TypeError(f"{argument} must be (H, W, C). Received: {image_shape!r}.")
    if len(image_shape) != 3:
        raise ValueError(f"{argument} must be (H, W, C). Received: {image_shape!r}.")
    height, width, _ = check_sizes(image_shape, argument)
    if height % 2**halvings or width % 2**halvings:
        raise ValueError(
            f"{argument} must have sides divisible by {2**halvings}. "
            f"Received: {tuple(image_shape)} with levels={levels}."
        )


def condition_size_of(condition_size: int | None, num_classes: int | None) -> int | None:
    """The size of the vector that the networks are conditioned on, None for none."""
    if condition_size is not None and num_classes is not None:
        raise ValueError(
            "condition_size and num_classes exclude each other. "
            f"Received: {condition_size} and {num_classes}."
        )
    for argument, value in (("condition_size", condition_size), ("num_classes", num_classes)):
        if value is not None:
            return check_positive_int(value, argument)
    return None


def marginals(
    channels: int,
    bins: MarginalBins | None,
    *,
    dtype: str,
    start: Literal["quantiles", "lines"] = "quantiles",
) -> list[FlowBijector]:
    """What makes the marginals of data normal, first in a flow or in a step; nothing for None.

    Of vectors, which start as lines, values may repeat: their bins stay wide.
    """
    if bins is None:
        return []
    bins = _BINS if bins == "auto" else bins
    options = {"least": 1 / (32 * bins)} if start == "lines" else {}
    return [MarginalGaussianization(channels, bins=bins, start=start, dtype=dtype, **options)]


def marginal_bins_of(
    event_shape: EventShape, bins: MarginalBins | None, *conditions: int | None
) -> MarginalBins | None:
    """`bins`, where "auto" is none for vectors under a condition.

    A condition explains much of the marginals: what is left may be normal already.
    """
    under_condition = any(size is not None for size in conditions)
    return None if bins == "auto" and under_condition and not _is_image(event_shape) else bins


def reach_of(reach: Reach | None, marginal_bins: MarginalBins | None) -> float | None:
    """`reach`, where "auto" is 4 behind splines of marginals and 10 without them.

    Behind them no data lie beyond 4, where networks would go on in straight lines. Without them
    nothing holds values about 0, such as those of a posterior that no data have told of.
    """
    if reach != "auto":
        return reach
    return 10.0 if marginal_bins is None else 4.0


def dropout_of(
    dropout: Dropout,
    event_shape: EventShape,
    marginal_bins: MarginalBins | None,
    *,
    splines: bool = False,
) -> float:
    """`dropout`, where "auto" is more for vectors of more values, 0 without splines of marginals.

    Tables of many columns are soon learned by heart. Images are many, and what takes no such
    splines, from simulators or as latents, is drawn anew. In the plane `splines` alone have
    some: their bins can follow single points.
    """
    if dropout != "auto":
        return dropout
    size = event_size(event_shape)
    if size == 1 or _is_image(event_shape) or marginal_bins is None:
        return 0.0
    if size == 2:
        return 0.05 if splines else 0.0
    return 0.2 if many_columns(event_shape) else 0.1


def many_columns(event_shape: EventShape) -> bool:
    """Whether events are vectors of so many values that rows are soon learned by heart."""
    return event_size(event_shape) >= _MANY_COLUMNS and not _is_image(event_shape)


def last_matrix(
    event_shape: EventShape, marginal_bins: MarginalBins | None, *, dtype: str
) -> list[FlowBijector]:
    """The matrix between a flow's steps and its base, for what linear dependence they leave.

    Nothing without splines of marginals, and of images and more than 1024 values, where a step of
    training would be about the matrix alone.
    """
    size = event_size(event_shape)
    if marginal_bins is None or _is_image(event_shape) or not 1 < size <= _LARGEST_MATRIX:
        return []
    return [Invertible1x1Conv(size, start="identity", dtype=dtype)]


def vector_flow(
    event_shape: EventShape,
    bijectors: Sequence[tfb.Bijector],
    *,
    num_classes: int | None,
    dtype: str,
    name: str,
    marginal_bins: MarginalBins | None = None,
    condition_size: int | None = None,
    base: tfd.Distribution | None = None,
) -> Flow:
    """The flow of bijectors on vectors, reshaped to the event and conditioned on classes.

    Args:
      event_shape: An int for vectors, or a shape whose values are the vector's.
      bijectors: Bijectors on `[..., size]`, the one nearest to the data first.
      num_classes: Number of classes to condition on, by one-hot vectors, or None.
      dtype: dtype of the latents.
      name: Name of the flow.
      marginal_bins: Bins of the splines that make the marginals normal, of an image's channels or
        of every value of other events, which "auto" leaves out under a condition; None for none.
      condition_size: Size of the condition vector of the bijectors, or None.
      base: Distribution of the latents; the standard normal when omitted.
    """
    size, shape = event_size(event_shape), np.atleast_1d(event_shape).tolist()
    marginal_bins = marginal_bins_of(event_shape, marginal_bins, condition_size, num_classes)
    first = [] if isinstance(event_shape, int) else [tfb.Reshape(shape, [size])]
    if len(shape) == 3:
        first = [*marginals(shape[-1], marginal_bins, dtype=dtype), *first]
    else:
        first += marginals(size, marginal_bins, dtype=dtype, start="lines")
    bijector = Chain([*first, *bijectors])
    if num_classes is not None:
        bijector = ClassConditional(bijector, num_classes)
    return Flow(base or standard_normal(size, dtype), bijector, name=name)


def seeds_from(seed: int | None) -> Iterator[int]:
    """Independent seeds without end, all drawn from one."""
    generator = random_generator(seed)
    while True:
        yield int(generator.integers(2**31))


def _is_image(event_shape: EventShape) -> bool:
    return len(np.atleast_1d(event_shape)) == 3


def _given(value, argument: str):
    if value is None:
        raise TypeError(f"{argument} must be an int or a shape. Received: None.")
    return value
