"""Signatures of SavedModels."""

from __future__ import annotations

import os
from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.files import replacing

__all__ = [
    "batch_spec",
    "checked_signature",
    "example_specs",
    "sampling_specs",
    "write_saved_model",
]

tfd = tfp.distributions


def write_saved_model(module: tf.Module, path: str | os.PathLike) -> None:
    """Writes a module with the signatures that its method of that name gives, whole or not at all.

    The first one also answers to the name that servers call where they are told none.

    Raises:
      ValueError: If `path` exists.
    """
    if os.path.exists(path):
        raise ValueError(f"path must not exist yet. Received: {str(path)!r}, which does.")
    signatures = module.signatures()
    signatures[tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY] = next(iter(signatures.values()))
    with replacing(path) as temporary:
        tf.saved_model.save(module, str(temporary), signatures=signatures)


def sampling_specs() -> list[tf.TensorSpec]:
    """The inputs of signatures that draw samples."""
    return [
        tf.TensorSpec([], tf.int32, name="num_samples"),
        tf.TensorSpec([], tf.float32, name="temperature"),
        tf.TensorSpec([], tf.int32, name="seed"),
    ]


def example_specs(distribution: tfd.Distribution) -> tuple:
    """A batch of a distribution's events, and of its conditions or None."""
    x = batch_spec(distribution.event_shape, distribution.dtype, "x")
    shape = getattr(distribution, "condition_shape", None)
    if shape is None:
        return x, None
    return x, batch_spec(shape, "float32" if shape else "int32", "condition")


def batch_spec(shape, dtype, name: str) -> tf.TensorSpec:
    """`[batch, *shape]`, of any batch."""
    return tf.TensorSpec([None, *shape], dtype, name=name)


def checked_signature(function: Callable, specs: list[tf.TensorSpec]):
    """The traced function, which checks what it is given before it computes with it."""

    def checked(*values):
        return function(*map(_checked, values, specs))

    return tf.function(checked).get_concrete_function(*specs)


def _checked(value, spec: tf.TensorSpec):
    """`value`, or an InvalidArgumentError where its shape is not that of the signature.

    TensorFlow does not check what a loaded signature is given, and kernels that trust the shape
    end the process.
    """
    # Its static shape is hidden, or the check would be taken for granted and left out.
    value = tf.compat.v1.placeholder_with_default(value, shape=None)
    shape, rank = tf.shape(value), spec.shape.rank
    # One size more than there should be, -1 where there is none.
    received = tf.concat([shape, tf.fill([rank + 1], -1)], 0)[: rank + 1]
    fits = [
        tf.equal(received[index], size)
        for index, size in enumerate([*spec.shape, -1])
        if size is not None
    ]
    sizes = ", ".join("batch" if size is None else str(size) for size in spec.shape)
    message = f"{spec.name} must have shape [{sizes}]. Received: shape"
    right = tf.debugging.Assert(tf.reduce_all(fits), [message, shape])
    with tf.control_dependencies([right]):
        return tf.ensure_shape(tf.identity(value), spec.shape)
