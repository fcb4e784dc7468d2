"""The backend for which code is traced or runs."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core import modes
from tfp_glow.core.compat import in_xla
from tfp_glow.core.modes import Backend

__all__ = ["backend"]


def backend() -> Backend:
    """That of `lower_for`, else this machine's."""
    if modes.current().backend is not None:
        return modes.current().backend
    if tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"):
        return "accelerator"
    return "cpu_xla" if in_xla(tf.compat.v1.get_default_graph()) else "cpu"
