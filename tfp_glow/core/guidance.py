"""Classifier-free guidance: what a network gives for a condition, away from what it gives for none.

    guided(x, c) = network(x, c) + weight * (network(x, c) - network(x, 0))

A network within autoregressive flows gives parameters of token t that way, so that the guided map
still is an autoregressive flow.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfp_glow.core import modes

__all__ = ["as_guided"]


def as_guided(network: Callable, condition) -> Callable:
    """The network as it is called here: guided where that mode is in force."""
    weight = modes.current().guidance
    return network if weight is None or condition is None else _Guided(network, weight)


class _Guided:
    """A network evaluated once on twice the batch, the second half without a condition."""

    def __init__(self, network: Callable, weight: float | tf.Tensor):
        self._network, self._weight = network, weight

    def __call__(self, inputs):
        x, condition = inputs
        return self._mixed(self._network([_twice(x), _and_none(condition)]))

    def empty_cache(self, batch):
        return self._network.empty_cache(2 * batch)

    def step(self, previous, index, cache, condition) -> tuple:
        raw, cache = self._network.step(_twice(previous), index, cache, _and_none(condition))
        return self._mixed(raw), cache

    def _mixed(self, raw):
        given, none = tf.split(raw, 2)
        return given + tf.cast(self._weight, raw.dtype) * (given - none)


def _twice(value):
    return tf.concat([value, value], 0)


def _and_none(condition):
    return tf.concat([condition, tf.zeros_like(condition)], 0)
