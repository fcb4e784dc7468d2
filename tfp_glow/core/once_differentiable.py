"""Gradients that have no gradients themselves, and say so."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["differentiated_once", "once_differentiable"]


def once_differentiable(values, who: str, given=()):
    """The same tensors, in any structure, whose gradient raises NotImplementedError.

    Args:
      values: Gradients that a custom gradient computes from constants.
      who: What has first derivatives alone, for the error.
      given: Tensors that the gradients depend on, though they were computed from constants.
    """

    @tf.custom_gradient
    def identity(value, *given):
        def gradient(_):
            raise NotImplementedError(f"{who} has first derivatives alone.")

        return tf.identity(value), gradient

    return _mapped(lambda value: identity(value, *given), values)


def differentiated_once(values, who: str):
    """The same tensors, whose gradients have no gradients: for what comes behind them."""

    @tf.custom_gradient
    def identity(value):
        def gradient(upstream):
            return once_differentiable(upstream, who, given=[value])

        return tf.identity(value), gradient

    return _mapped(identity, values)


def _mapped(function, values):
    """What can have a gradient, mapped; the rest as it is."""

    def map_one(value):
        return function(value) if tf.is_tensor(value) and value.dtype.is_floating else value

    return tf.nest.map_structure(map_one, values)
