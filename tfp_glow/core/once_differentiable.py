"""Gradients that have no gradients themselves, and say so."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["differentiated_once", "once_differentiable"]


def once_differentiable(values, who: str):
    """The same tensors, in any structure, whose gradient raises NotImplementedError.

    Args:
      values: Gradients that a custom gradient computes from constants alone.
      who: What has first derivatives alone, for the error.
    """

    @tf.custom_gradient
    def identity(value):
        def gradient(_):
            raise NotImplementedError(f"{who} has first derivatives alone.")

        return tf.identity(value), gradient

    return _mapped(identity, values)


def differentiated_once(values, who: str):
    """The same tensors, whose gradients have no gradients: for what comes behind them."""

    @tf.custom_gradient
    def identity(value):
        return tf.identity(value), lambda upstream: once_differentiable(upstream, who)

    return _mapped(identity, values)


def _mapped(function, values):
    """What can have a gradient, mapped; the rest as it is."""

    def map_one(value):
        return function(value) if tf.is_tensor(value) and value.dtype.is_floating else value

    return tf.nest.map_structure(map_one, values)
