"""Keras variables with other values for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras

__all__ = ["refuse_assignments", "substituted"]


@contextlib.contextmanager
def substituted(variables: Sequence[keras.Variable], values: Sequence) -> Iterator[dict]:
    """The code inside sees `values` in place of what the variables hold.

    What it assigns to them does not reach them. The dict that is given to the code has it, by the
    variables' positions, once the code has ended.

    Example:

        with substituted(variables, values) as assigned:
            y = network(x, training=True)
        new = [assigned.get(index, value) for index, value in enumerate(values)]
    """
    assigned = {}
    with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
        given = [scope.get_current_value(variable) for variable in variables]
        yield assigned
    for index, (variable, before) in enumerate(zip(variables, given, strict=True)):
        now = scope.get_current_value(variable)
        if now is not before:
            assigned[index] = now


def refuse_assignments(
    assigned: dict, variables: Sequence[keras.Variable], allowed: Sequence, who: str
) -> None:
    """Raises where code has assigned to variables that are not among the allowed ones.

    Raises:
      ValueError: If there are any, by their paths.
    """
    allowed = {id(variable) for variable in allowed}
    paths = [variables[index].path for index in assigned if id(variables[index]) not in allowed]
    if paths:
        raise ValueError(
            f"{who} changed its variable {paths[0]!r} while it was evaluated, which would be lost. "
            "Use layers whose state does not change there, such as layer normalization."
        )
