"""The gradient of a solution that was found by iteration: that of the implicit function."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfp_glow.core.once_differentiable import once_differentiable

__all__ = ["differentiable_solution"]


def differentiable_solution(f: Callable, x, *, iterate: Callable, who: str) -> tf.Tensor:
    """The x with x = f(x), with gradients for whatever else f depends on.

    With the Jacobian J of f at x, dx = (I - J)^-1 df. The gradient of x is brought to f as the
    solution w of w = upstream + J^T w.

    Args:
      f: A function of tensors of the shape of x.
      x: The solution.
      iterate: Function `(step, start)` that finds the w with w = step(w).
      who: What has first derivatives alone, for the error.
    """
    x = tf.stop_gradient(x)
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = f(x)

    @tf.custom_gradient
    def implicit(value):
        def gradient(upstream):
            def step(w):
                return upstream + tape.gradient(y, x, w, unconnected_gradients="zero")

            return once_differentiable(iterate(step, upstream), who)

        return tf.identity(value), gradient

    return implicit(y)
