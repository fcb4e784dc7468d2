"""The solution of x + g(x) = z for a contraction g."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from tfp_glow.core.validity import valid_or_nan
from tfp_glow.solvers.implicit import differentiable_solution

__all__ = ["solve_fixed_point"]


def solve_fixed_point(
    g: Callable, z, *, tolerance: float, max_iterations: int, name: str
) -> tf.Tensor:
    """The x with x + g(x) = z, by x <- z - g(x), with the implicit function's gradients.

    With the Jacobian J of g at x, dx = (I + J)^-1 (dz - dg). The gradient of x is brought to z
    and to whatever g depends on as the solution w of w + J^T w = upstream, by iteration too.

    Args:
      g: A contraction, `[batch, *event]` to the same shape.
      z: `[batch, *event]`.
      tolerance: An example has converged when no value moves by more than this times 1 + |x|.
      max_iterations: Iterations after which an example that has not is given up.
      name: Who asks, for the error.

    Raises:
      tf.errors.InvalidArgumentError: If an example is given up. Compiled by XLA, it is NaN.
    """
    iterate = functools.partial(
        _iterate, tolerance=tolerance, max_iterations=max_iterations, name=name
    )

    def f(x):
        return z - g(x)

    who = f"The solution of a fixed point, in {name},"
    return differentiable_solution(f, iterate(f, z), iterate=iterate, who=who)


def _iterate(step: Callable, start, *, tolerance: float, max_iterations: int, name: str):
    """Repeats a contraction of `[batch, *event]`, for each example until it stands still."""
    axes = list(range(1, start.shape.rank))
    event = [1] * len(axes)

    def body(count, value, converged):
        new = tf.ensure_shape(step(value), value.shape)
        moved = tf.reduce_max(tf.abs(new - value) / (1.0 + tf.abs(new)), axes)
        kept = tf.reshape(converged, [-1, *event])
        return count + 1, tf.where(kept, value, new), converged | (moved <= tolerance)

    def go_on(count, _, converged):
        return ~tf.reduce_all(converged)

    _, value, converged = tf.while_loop(
        go_on,
        body,
        (tf.constant(0), start, tf.zeros_like(start[(..., *[0] * len(axes))], tf.bool)),
        maximum_iterations=max_iterations,
    )
    message = (
        f"{name}: the iteration of some examples did not converge in {max_iterations} steps. The "
        "network is no contraction there, or max_iterations is too small."
    )
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(converged), [message])]):
        return valid_or_nan(converged, value)
