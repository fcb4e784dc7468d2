"""What several test files need."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf


def randomize(module: tf.Module, seed: int = 0, scale: float = 0.2) -> None:
    """Moves every trainable variable away from its start; zeros hide errors."""
    generator = np.random.default_rng(seed)
    for variable in module.trainable_variables:
        change = scale * generator.standard_normal(variable.shape)
        variable.assign_add(tf.cast(change, variable.dtype))


def normal(shape, dtype: str = "float64", seed: int = 0) -> tf.Tensor:
    """Standard normal data."""
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), dtype)


def jacobian_log_det(function, value, event_ndims_in: int) -> tf.Tensor:
    """log|det| of the full Jacobian of a function of one unbatched event, by autodiff."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(value)
        output = tf.reshape(function(value), [-1])
    jacobian = tape.jacobian(output, value, experimental_use_pfor=False)
    size = math.prod(value.shape[value.shape.rank - event_ndims_in :])
    return tf.linalg.slogdet(tf.reshape(jacobian, [size, size])).log_abs_determinant
