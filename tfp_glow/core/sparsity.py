"""Which outputs of a network read which inputs, found by changing one input after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

__all__ = ["is_autoregressive"]

_PROBED = 256
_POINTS = 3
# What rounding may change of an output that does not read the input.
_ROUNDING = 1e-4


def is_autoregressive(network: Callable, size: int, dtype: tf.DType) -> bool:
    """Whether there is an order of the inputs in which outputs read what comes before them alone.

    Of many inputs a part is looked at, around a few random points. Connections of weight
    zero do not show.

    Args:
      network: From `[batch, size]` to `[batch, k * size]`: all inputs' first outputs, then all
        their second ones.
      size: Number of inputs.
      dtype: dtype of the inputs.
    """
    probed = np.linspace(0, size - 1, min(size, _PROBED)).astype(int)
    read = sum(_read(network, size, probed, dtype, point) for point in range(_POINTS)) > 0
    # Only in a graph without circles no path is as long as there are vertices.
    for _ in range(int(np.ceil(np.log2(len(probed) + 1)))):
        read = read.astype("float32") @ read.astype("float32") > 0
    return not read.any()


def _read(network, size: int, probed: np.ndarray, dtype, seed: int) -> np.ndarray:
    """`[i, j]`: whether the outputs of probed input i change with probed input j."""
    generator = np.random.default_rng(seed)
    rows = np.repeat(generator.standard_normal([1, size]), len(probed) + 1, axis=0)
    rows[np.arange(len(probed)), probed] += 1 + generator.random(len(probed))
    outputs = np.asarray(network(tf.constant(rows, dtype)), "float64")
    changes = np.abs(outputs[:-1] - outputs[-1]).reshape([len(probed), -1, size])
    return _ROUNDING * (1e-3 + np.abs(outputs).max()) < changes.max(1)[:, probed].T
