"""The arguments of `load_images`, checked once for every kind of source."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Real

__all__ = ["Options", "check_fractions", "check_int"]


@dataclass(frozen=True)
class Options:
    """The keyword arguments of `load_images`, which documents them.

    Raises:
      ValueError, TypeError: If one has a wrong type or is out of range.
    """

    batch_size: int
    labels: bool
    num_bits: int
    flip: bool
    image_size: int | None
    validation_fraction: float
    test_fraction: float
    seed: int
    data_dir: str | os.PathLike | None
    download: bool

    def __post_init__(self):
        for argument in ("labels", "flip", "download"):
            if not isinstance(getattr(self, argument), bool):
                raise TypeError(
                    f"{argument} must be a bool. Received: {getattr(self, argument)!r}."
                )
        check_int(self.batch_size, "batch_size", low=1)
        check_int(self.num_bits, "num_bits", low=1, high=8)
        check_int(self.seed, "seed", low=0, high=2**32 - 1)
        if self.image_size is not None:
            check_int(self.image_size, "image_size", low=1)
        check_fractions(self.validation_fraction, self.test_fraction)


def check_int(value, argument: str, *, low: int, high: int | None = None) -> None:
    """Raises unless a value is an int in the range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} must be an int. Received: {value!r}.")
    if value < low or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{argument} must be {span}. Received: {value}.")


def check_fractions(validation, test) -> None:
    """Raises unless two fractions leave something for training."""
    for argument, value in (("validation_fraction", validation), ("test_fraction", test)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{argument} must be a number. Received: {value!r}.")
        if not 0 <= value < 1:
            raise ValueError(f"{argument} must be in [0, 1). Received: {value}.")
    if validation + test >= 1:
        raise ValueError(
            f"validation_fraction + test_fraction must be below 1. Received: {validation} + {test}."
        )
