"""Leading dimensions folded into one, and back."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

__all__ = ["multiply_last", "of_any_batch", "split_condition", "with_one_batch_dimension"]


def multiply_last(value, matrix):
    """`value @ matrix` along the last dimension of `value`, with any leading dimensions.

    One flat product, unlike `tf.tensordot`, whose gradient XLA cannot compile in a loop when the
    batch is dynamic; a product for each example where the matrix has leading dimensions too.
    """
    if matrix.shape.rank > 2:
        return tf.reduce_sum(value[..., tf.newaxis] * matrix, -2)
    inputs, outputs = matrix.shape
    flat = tf.reshape(value, [-1, inputs]) @ matrix
    product = tf.reshape(flat, tf.concat([tf.shape(value)[:-1], [outputs]], 0))
    return tf.ensure_shape(product, value.shape[:-1].concatenate(outputs))


def of_any_batch(value) -> tf.TensorSpec | None:
    """What a trace for batches `[N, ...]` of any N is given in a tensor's place, None for None."""
    return None if value is None else tf.TensorSpec([None, *value.shape[1:]], value.dtype)


def split_condition(inputs):
    """x and its condition, or None, from what a network is called on: x or `[x, condition]`."""
    return (inputs, None) if tf.is_tensor(inputs) else inputs


def with_one_batch_dimension(function: Callable, value, event_ndims: int, condition=None):
    """Calls `function` on `[batch, *event]` and restores `value`'s leading dimensions.

    A condition `[..., k]` is broadcast to those leading dimensions first. Keras layers with
    a fixed rank, such as convolutions, thus work on any number of leading dimensions. The
    function returns a tensor, or several, of which each begins with the batch.
    """
    batch_ndims = value.shape.rank - event_ndims
    batch = tf.shape(value)[:batch_ndims]
    inputs = [_fold(value, batch_ndims)]
    if condition is not None:
        condition = tf.broadcast_to(condition, tf.concat([batch, tf.shape(condition)[-1:]], 0))
        inputs.append(_fold(condition, batch_ndims))

    def unfold(output):
        output = tf.convert_to_tensor(output)
        if batch_ndims == 1:
            return output
        unfolded = tf.reshape(output, tf.concat([batch, tf.shape(output)[1:]], 0))
        return tf.ensure_shape(unfolded, value.shape[:batch_ndims].concatenate(output.shape[1:]))

    output = function(inputs[0] if condition is None else inputs)
    return tuple(map(unfold, output)) if isinstance(output, tuple) else unfold(output)


def _fold(value, batch_ndims: int):
    if batch_ndims == 1:
        return value
    return tf.reshape(value, [-1, *value.shape[batch_ndims:]])
