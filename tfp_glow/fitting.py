"""What models around a distribution ask of the data that they are given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.replicas import rows_of_replicas

__all__ = [
    "LossNotFiniteError",
    "StopWithoutLoss",
    "check_class_ids",
    "check_data",
    "check_examples",
    "check_label_shape",
    "check_labels",
    "check_no_class_weight",
    "check_no_loss",
    "check_weights_reach_the_loss",
    "first_batch",
    "first_of_stream",
]


class LossNotFiniteError(ValueError):
    """A training has come to a loss that is NaN or infinite."""


class StopWithoutLoss(keras.callbacks.Callback):
    """Ends a training whose loss is no longer finite, at the step where that happens.

    Raises:
      LossNotFiniteError: In training, after such a step.
    """

    def on_train_batch_end(self, batch, logs=None):
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise LossNotFiniteError(
                f"The loss is {loss} in step {batch + 1} of the epoch: x or its condition holds "
                "NaN, infinity, values of density 0 or class ids out of range, or the learning "
                "rate is too high."
            )


def first_batch(x, y, batch_size: int) -> tuple:
    """A batch of what `fit` is given, a random one of arrays, its condition, and the data again.

    Iterators give their first batch back to the data.

    Raises:
      ValueError: If there is none.
      TypeError: If `x` is no data.
    """
    if _is_array(x):
        return (*_random_rows(x, y, batch_size), x)
    batch, x = first_of_stream(x)
    rows, condition, _ = keras.utils.unpack_x_y_sample_weight(batch)
    return _nonempty(np.asarray(rows)), condition, x


def first_of_stream(x) -> tuple:
    """The first batch of a data set or an iterable, and the data again.

    Raises:
      ValueError: If there is none.
      TypeError: If `x` is no data.
    """
    if isinstance(x, keras.utils.PyDataset):
        batch = x[0] if len(x) else None
    elif isinstance(x, Iterable):
        batches = iter(x)
        batch = next(batches, None)
        x = _again(batch, batches) if batches is x else x
    else:
        raise TypeError(f"x must be an array, a data set or an iterable. Received: {x!r}.")
    if batch is None:
        raise ValueError("x must hold at least one example. Received: an empty data set.")
    return rows_of_replicas(batch), x


def check_data(x) -> None:
    """Raises where `x` is missing, holds no numbers or no example."""
    if isinstance(x, Mapping):
        raise TypeError(
            f"x must be an array, a data set or an iterable. Received: a mapping of {list(x)}."
        )
    of_numpy = not tf.is_tensor(x) and hasattr(x, "__array__")
    if x is None or (of_numpy and np.asarray(x).dtype.hasobject):
        raise TypeError(f"x must hold numbers. Received: {x!r}.")
    if of_numpy and not len(x):
        raise ValueError("x must hold at least one example. Received: an empty data set.")


def check_examples(x, event_shape, argument: str = "x") -> None:
    """Raises where an array holds events of another shape; data sets are not read.

    A training step that has seen two shapes no longer knows them when it is traced.
    """
    if not (_is_array(x) and isinstance(event_shape, tf.TensorShape)):
        return
    received, ndims = tuple(getattr(x, "shape", None) or np.shape(x)), event_shape.rank or 0
    if not event_shape.is_compatible_with(received[max(len(received) - ndims, 0) :]):
        raise ValueError(
            f"{argument} must have event shape {tuple(event_shape)} in its last dimensions. "
            f"Received: shape {received}."
        )


def check_no_loss(loss) -> None:
    """Raises where `compile` is given a loss, which would do nothing."""
    if loss is not None:
        raise ValueError(
            "loss must not be given to compile: a probabilistic model brings its own. "
            f"Received: loss={loss!r}."
        )


def check_class_ids(y, classes: range | None) -> None:
    """Raises where an array of class ids has some out of range; data sets are not read."""
    if classes is None or not _is_array(y):
        return
    ids = np.asarray(y)
    if np.issubdtype(ids.dtype, np.integer) and ids.size:
        smallest, largest = ids.min(), ids.max()
        if smallest < classes.start or largest >= classes.stop:
            raise ValueError(
                f"y must hold class ids from {classes.start} to {classes[-1]}. "
                f"Received: ids from {smallest} to {largest}."
            )


def check_labels(x, y, num_classes: int) -> None:
    """Raises unless arrays come with one class id an example; data sets are not read.

    Raises:
      TypeError: If the labels are no integers.
      ValueError: If there are none, too many or too few, or ids out of range.
    """
    if y is None and not _is_array(x):
        return
    if y is None:
        raise ValueError(
            "y must hold the class id of each example of x, as in fit(x, y). Received: None."
        )
    ids = np.asarray(y)
    check_label_shape(ids.shape, ids.dtype)
    if _is_array(x) and len(ids) != len(x):
        raise ValueError(
            "y must hold one class id for each example of x. "
            f"Received: {len(ids)} ids for {len(x)} examples."
        )
    check_class_ids(ids, range(num_classes))


def check_label_shape(shape, dtype) -> None:
    """Raises unless labels are integers, one an example."""
    dtype = tf.as_dtype(dtype)
    if not dtype.is_integer:
        raise TypeError(
            "y must hold integer class ids; convert them, as in y.astype('int32'). "
            f"Received: dtype {dtype.name}."
        )
    shape = tf.TensorShape(shape)
    if not any(shape.is_compatible_with(fitting) for fitting in ([None], [None, 1])):
        raise ValueError(
            "y must have shape [N], one class id an example; of one-hot rows the ids are "
            f"numpy.argmax(y, -1). Received: shape {shape}."
        )


def check_no_class_weight(class_weight) -> None:
    """Raises where examples are to be weighed by classes that they do not have."""
    if class_weight is not None:
        raise ValueError(
            "class_weight has no meaning for a density model. Pass sample_weight to weigh "
            f"examples. Received: class_weight={class_weight!r}."
        )


def check_weights_reach_the_loss(y, sample_weight) -> None:
    """Keras drops the weights of arrays without y, which must not go unnoticed."""
    if y is None and sample_weight is not None:
        raise ValueError(
            "sample_weight needs y, without which Keras does not pass it on. For a flow without a "
            "condition, pass a tf.data.Dataset of (x, None, sample_weight)."
        )


def _is_array(x) -> bool:
    """Whether Keras takes `x` as an array: data frames too."""
    return tf.is_tensor(x) or isinstance(x, list | tuple) or hasattr(x, "__array__")


def _random_rows(x, y, batch_size: int) -> tuple:
    x = _nonempty(np.asarray(x))
    rows = np.random.default_rng(0).permutation(len(x))[:batch_size]
    return x[rows], None if y is None else np.asarray(y)[rows]


def _nonempty(x: np.ndarray) -> np.ndarray:
    if not len(x):
        raise ValueError("x must hold at least one example. Received: an empty data set.")
    return x


def _again(batch, rest: Iterator) -> Iterator:
    """A generator, as Keras asks for, of a batch and those that follow."""
    yield batch
    yield from rest
