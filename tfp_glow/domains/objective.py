"""What the trainings of domain maps have in common."""

from __future__ import annotations

import abc
import math
from typing import NamedTuple

import keras
import tensorflow as tf

from tfp_glow.dequantization import Dequantized
from tfp_glow.domains.domain_map import DomainMap
from tfp_glow.domains.side import Side

__all__ = ["Density", "Encoded", "Objective"]


class Encoded(NamedTuple):
    """What the pass of one side over a batch gives."""

    data: tf.Tensor
    tied: tf.Tensor
    log_prob: tf.Tensor


class Density(keras.metrics.Mean):
    """The mean of a side's -log_prob: bits per dimension of integers, nats of real numbers.

    Args:
      side: The side.
      suffix: What its name ends with.
    """

    def __init__(self, side: Side, suffix: str):
        integers = isinstance(side.distribution, Dequantized)
        super().__init__(name=f"{'bits_per_dim' if integers else 'nats'}_{suffix}")
        self._unit = side.dimensions * math.log(2.0) if integers else 1.0

    def update_state(self, log_prob, sample_weight=None):
        return super().update_state(-log_prob / self._unit, sample_weight)


class Objective(keras.layers.Layer, abc.ABC):
    """The loss of a domain map: likelihoods, and what holds the sides together.

    The likelihoods are in nats per dimension, so that sides of other sizes weigh alike.

    Args:
      domain_map: The map.
      likelihood_weight: What the likelihoods of the single sides are multiplied by.
    """

    takes_labels = False
    takes_pairs = False
    suffixes = ("x", "y")

    def __init__(self, domain_map: DomainMap, likelihood_weight: float):
        super().__init__()
        self._sides = (domain_map._x, domain_map._y)
        self._tie = domain_map.tie
        self._likelihood_weight = likelihood_weight
        self.densities = [
            Density(side, suffix) for side, suffix in zip(self._sides, self.suffixes, strict=True)
        ]
        self.built = True

    def match(self, x: Encoded, y: Encoded, conditions: tuple, seed) -> tuple:
        """What else the flows have to compute of a batch for `losses`."""
        return ()

    @abc.abstractmethod
    def losses(self, x: Encoded, y: Encoded, matched: tuple, target, weights) -> tf.Tensor:
        """The examples' losses `[batch]`; updates the metrics."""

    def _per_dim(self, log_prob_x, log_prob_y, weights) -> tuple:
        """Minus both in nats per dimension; updates the metrics of the densities."""
        log_probs = (log_prob_x, log_prob_y)
        for density, log_prob in zip(self.densities, log_probs, strict=True):
            density.update_state(log_prob, weights)
        return tuple(
            -log_prob / side.dimensions
            for log_prob, side in zip(log_probs, self._sides, strict=True)
        )
