"""What a flow adds to its training loss beside the likelihood."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core import modes

__all__ = ["add_penalty", "penalties_wanted"]


def penalties_wanted() -> bool:
    """Whether somebody collects penalties, inside of `modes.collected_penalties`."""
    return modes.current().penalties is not None


def add_penalty(value, name: str) -> None:
    """Hands a penalty to whoever collects it.

    Raises:
      ValueError: Inside of a loop, from which it cannot be carried out.
    """
    penalties = modes.current().penalties
    if tf.compat.v1.get_default_graph() is not penalties.graph:
        raise ValueError(
            f"{name} has a penalty, which cannot leave a loop over depth. Build the loop with "
            "unroll=True, or without the penalty."
        )
    penalties.collected.append(value)
