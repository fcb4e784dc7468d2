"""The solution of x = f(x) for an f whose every value reads only those before it."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from tfp_glow.solvers.implicit import differentiable_solution

__all__ = ["solve_autoregressive"]


def solve_autoregressive(f: Callable, start, *, name: str) -> tf.Tensor:
    """The x with x = f(x), by Jacobi's iteration x <- f(x) until a pass changes nothing.

    After k passes the first k values are right, in whatever order they read each other, so that
    there are never more passes than values. Where one changes nothing, to the last bit, no further
    one would: the result is that of all of them.

    Gradients are those of the implicit function, by the same iteration with the transposed
    Jacobian, whose values read only those after them.

    Args:
      f: Function `[..., size]` to the same shape.
      start: `[..., size]`, any finite values.
      name: Who asks, for the error of second derivatives.
    """
    # The pass in which gradients are found is one of them.
    iterate = functools.partial(_iterate, most=start.shape[-1] - 1)
    who = f"The solution of an autoregressive equation, in {name},"
    return differentiable_solution(f, iterate(f, start), iterate=iterate, who=who)


def _iterate(f: Callable, start, *, most: int):
    def body(count, value, _):
        new = tf.ensure_shape(f(value), value.shape)
        same = (new == value) | (tf.math.is_nan(new) & tf.math.is_nan(value))
        return count + 1, new, ~tf.reduce_all(same)

    _, value, _ = tf.while_loop(
        lambda count, _, changed: changed & (count < most),
        body,
        (tf.constant(0), start, tf.constant(True)),
    )
    return value
