"""How methods are traced.

`tf.function` rewrites all Python that it reaches, so that `if` and `for` may ask tensors. Nothing
here does, and the rewriting takes as long as the tracing itself. A method that is marked with
`as_written` is left as it is, and so is what it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

__all__ = ["as_written"]

_Method = TypeVar("_Method", bound=Callable)


def as_written(method: _Method) -> _Method:
    """A method that autograph leaves alone; its signature stays what type checkers see."""
    return tf.autograph.experimental.do_not_convert(method)
