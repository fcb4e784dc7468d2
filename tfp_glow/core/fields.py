"""The vector fields that a flow passes, for those who train them without moving along them."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core import modes

__all__ = ["add_field", "fields_wanted"]


def fields_wanted() -> bool:
    """Whether somebody collects fields, inside of `modes.passed_fields`."""
    return modes.current().fields is not None


def add_field(field, value, condition) -> None:
    """Hands a field, and what it was given to move, to whoever collects them.

    Raises:
      ValueError: Inside of a loop, from which they cannot be carried out.
    """
    fields = modes.current().fields
    if tf.compat.v1.get_default_graph() is not fields.graph:
        raise ValueError(
            f"{field.name} stands in a loop, out of which flow matching cannot train it. "
            "Build the flow with one ContinuousFlow outside of Repeat."
        )
    fields.collected.append((field, value, condition))
