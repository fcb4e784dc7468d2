"""What a flow adds to its training loss beside the likelihood."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core import modes
from tfp_glow.core.holder import Holder

__all__ = ["add_penalty", "penalties_wanted", "weight_penalties"]


def weight_penalties(module: tf.Module) -> list[tf.Tensor]:
    """What the regularizers of the Keras networks inside make of the weights, one by one."""
    parts = (part for part in (module, *module.submodules) if isinstance(part, Holder))
    variables = {id(v): v for part in parts for v in part.keras_variables}
    return [v.regularizer(v) for v in variables.values() if v.trainable and v.regularizer]


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
