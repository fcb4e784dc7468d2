"""Evaluating something again, later, under what was in force when it was first evaluated."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from tfp_glow.core import modes
from tfp_glow.core.compat import in_call_context, keras_call_context

__all__ = ["this_moment"]


def this_moment() -> Callable[[], contextlib.AbstractContextManager]:
    """A context in which the modes and Keras' training phase are what they are here and now.

    Gradients are computed when the pass and the calls around it are over. One that evaluates the
    pass again needs the phase back, or batch normalization and dropout would do something else.

    Example:

        again = this_moment()

        def gradient(upstream):
            with again():
                ...
    """
    in_force = dataclasses.replace(modes.current(), penalties=None)  # Collected already.
    context = keras_call_context()

    @contextlib.contextmanager
    def again() -> Iterator[None]:
        with modes.reinstated(in_force), in_call_context(context):
            yield

    return again
