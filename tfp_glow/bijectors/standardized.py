"""A bijector that sees data and conditions standardized."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector, initialize_part
from tfp_glow.core.checks import check_channels, check_number
from tfp_glow.core.passes import FORWARD, INVERSE
from tfp_glow.core.wrapper import Wrapper

__all__ = ["Standardized"]


class Standardized(Wrapper):
    """Data in their own units around a bijector of values of about mean 0 and deviation 1.

        forward:  x = mean + deviation * bijector.forward(z, c)
        inverse:  z = bijector.inverse((x - mean) / deviation, c)
        log|det dx/dz| = log|det of the bijector| + sum(log(deviation))

    with c = (condition - condition_mean) / condition_deviation. The statistics are constants, which
    no training moves.

    Args:
      bijector: A bijector of vectors, with a vector for its condition if any.
      mean: Mean of each value.
      deviation: Standard deviation of each value.
      condition_mean: Mean of each value of the condition, or None for it as it is.
      condition_deviation: Standard deviation of each value of the condition, or None.
      name: Name of the bijector.

    Shapes: those of the bijector.

    Raises:
      TypeError: If `bijector` is no bijector of this package, or a statistic no number.
      ValueError: If a deviation is not above 0, only one statistic of the condition is given, or
        the statistics are not one for each value.

    Example:

        flow = Standardized(Coupling(factory, event_shape=2), mean=[170.0, 70.0], deviation=[9, 12])
    """

    def __init__(
        self,
        bijector: FlowBijector,
        mean: Sequence[float],
        deviation: Sequence[float],
        *,
        condition_mean: Sequence[float] | None = None,
        condition_deviation: Sequence[float] | None = None,
        name: str | None = None,
    ):
        shape = getattr(bijector, "condition_shape", None)
        super().__init__(bijector, condition_shape=shape, name=name)
        if bijector.inverse_min_event_ndims != 1:
            raise ValueError(
                f"bijector must be one of vectors. Received: {bijector!r}, whose events have "
                f"{bijector.inverse_min_event_ndims} dimensions."
            )
        self._data = _Statistics.checked(mean, deviation, "")
        given = [value is not None for value in (condition_mean, condition_deviation)]
        if any(given) and not all(given):
            raise ValueError(
                "condition_mean and condition_deviation must be given together. Received: "
                f"{condition_mean} and {condition_deviation}."
            )
        self._condition = None
        if all(given):
            self._condition = _Statistics.checked(condition_mean, condition_deviation, "condition_")
            if shape != (len(self._condition.mean),):
                raise ValueError(
                    "condition_mean must hold a number for each value of the bijector's condition "
                    f"of shape {shape}. Received: {len(self._condition.mean)}."
                )

    @property
    def num_classes(self) -> int | None:
        return self.bijector.num_classes

    def _forward_and_log_det(self, z, condition=None):
        y, log_det = FORWARD(self.bijector, z, self._standardized(condition))
        check_channels(y, len(self._data.mean), self.name)
        return self._data.of_data(y), log_det + self._log_scale(log_det)

    def _inverse_and_log_det(self, x, condition=None):
        check_channels(x, len(self._data.mean), self.name)
        y = self._data.standardize(x)
        z, log_det = INVERSE(self.bijector, y, self._standardized(condition))
        return z, log_det - self._log_scale(log_det)

    def _initialize(self, x, condition=None):
        return initialize_part(
            self.bijector, self._data.standardize(x), self._standardized(condition)
        )

    def _standardized(self, condition):
        if condition is None or self._condition is None:
            return condition
        return self._condition.standardize(tf.cast(condition, self.dtype))

    def _log_scale(self, log_det):
        return tf.constant(np.log(self._data.deviation).sum(), log_det.dtype)


class _Statistics:
    """Mean and deviation of each of a few values, in float64."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray):
        self.mean, self.deviation = mean, deviation

    @classmethod
    def checked(cls, mean, deviation, prefix: str) -> _Statistics:
        mean = [check_number(value, f"{prefix}mean") for value in mean]
        deviation = [check_number(value, f"{prefix}deviation", above=0) for value in deviation]
        if len(mean) != len(deviation) or not mean:
            raise ValueError(
                f"{prefix}deviation must hold a number for each of {len(mean)} means, at least "
                f"one. Received: {len(deviation)}."
            )
        return cls(np.array(mean, np.float64), np.array(deviation, np.float64))

    def standardize(self, x):
        return (x - tf.constant(self.mean, x.dtype)) / tf.constant(self.deviation, x.dtype)

    def of_data(self, y):
        return tf.constant(self.mean, y.dtype) + tf.constant(self.deviation, y.dtype) * y
