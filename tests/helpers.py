"""What several test files need."""

from __future__ import annotations

import math
import os
import pathlib

import numpy as np
import tensorflow as tf


def randomize(module: tf.Module, seed: int = 0, scale: float = 0.2) -> None:
    """Moves every trainable variable away from its start; zeros hide errors."""
    generator = np.random.default_rng(seed)
    for variable in module.trainable_variables:
        change = scale * generator.standard_normal(variable.shape)
        variable.assign_add(tf.cast(change, variable.dtype))
    if hasattr(module, "converge"):
        module.converge()  # The norms of Lipschitz networks have changed.


# Exports without the gradients of what they hold, which take most of the time.
WITHOUT_GRADIENTS = tf.saved_model.SaveOptions(experimental_custom_gradients=False)


def normal(shape, dtype: str = "float64", seed: int = 0) -> tf.Tensor:
    """Standard normal data."""
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), dtype)


def jacobian_log_det(function, event) -> tf.Tensor:
    """log|det| of the full Jacobian of a function of events, by autodiff, at one event.

    Row i of the Jacobian is the gradient of output i, taken in copy i of a batch of events.
    """
    size = math.prod(event.shape)
    copies = tf.repeat(event[tf.newaxis], size, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(copies)
        outputs = tf.reshape(function(copies), [size, size])
        diagonal = tf.reduce_sum(tf.linalg.diag_part(outputs))
    rows = tf.reshape(tape.gradient(diagonal, copies), [size, size])
    return tf.linalg.slogdet(rows).log_abs_determinant


def write_records(path: str | os.PathLike, images, labels=None, **integers: int) -> None:
    """Writes a file of records: PNG, or, with sides as `integers`, the values; labels if any."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for index, image in enumerate(images):
            content = image.tobytes() if integers else tf.io.encode_png(image).numpy()
            features = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))}
            numbers = integers if labels is None else integers | {"label": int(labels[index])}
            for name, number in numbers.items():
                values = tf.train.Int64List(value=[number])
                features[name] = tf.train.Feature(int64_list=values)
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
