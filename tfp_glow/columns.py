"""Columns of a table."""

from __future__ import annotations

from dataclasses import dataclass

from tfp_glow.core.checks import check_bool, check_number

__all__ = ["Column"]


@dataclass(frozen=True)
class Column:
    """A column of numbers, with the statistics that standardize it.

    Attributes:
      name: What the table calls it.
      mean: Mean of its training values.
      deviation: Their standard deviation, above 0.
      integer: Whether its values are whole numbers.

    Raises:
      ValueError, TypeError: If a statistic is no finite number, or the deviation not above 0.
    """

    name: str
    mean: float
    deviation: float
    integer: bool = False

    def __post_init__(self):
        check_number(self.mean, "mean")
        check_number(self.deviation, "deviation", above=0)
        check_bool(self.integer, "integer")
