"""Batches of two domains: pairs, or examples that have nothing to do with each other."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfp_glow.data.delivery import made_ahead
from tfp_glow.fitting import check_labels

__all__ = [
    "check_both_labelled",
    "check_pairs",
    "check_two",
    "is_arrays",
    "random_rows",
    "unpaired_batches",
]


def is_arrays(x) -> bool:
    """Whether `x` is the pair of two arrays."""
    return isinstance(x, tuple | list) and all(map(_is_array, x))


def check_two(x) -> None:
    """Raises where arrays are not those of two domains, with an example of each."""
    if _is_array(x):
        raise ValueError(
            "x must be the pair of both domains' data, as in fit((x, y)). "
            f"Received: one array of shape {np.shape(x)}."
        )
    if not is_arrays(x):
        return
    if len(x) != 2:
        raise ValueError(
            "x must be the pair of both domains' data, as in fit((x, y)). "
            f"Received: {len(x)} arrays."
        )
    for side, argument in zip(x, "xy", strict=True):
        if not len(side):
            raise ValueError(
                f"{argument} must hold at least one example. Received: an empty array."
            )


def check_pairs(x) -> None:
    """Raises unless the arrays of both domains are as long as each other."""
    if is_arrays(x) and len(x[0]) != len(x[1]):
        raise ValueError(
            "x and y must be pairs, as many of either, for a map with tie=Correlated(). "
            f"Received: {len(x[0])} of x and {len(x[1])} of y."
        )


def check_both_labelled(x, labels, num_classes: int) -> None:
    """Raises unless both domains' examples have class ids.

    Raises:
      TypeError: If labels are no integers.
      ValueError: If a domain has none, too many or too few, or ids out of range.
    """
    pair = isinstance(labels, tuple | list) and len(labels) == 2
    if not pair or any(own is None for own in labels):
        raise ValueError(
            "labels must be given for both domains, as in fit((x, y), (labels_x, labels_y)). "
            f"Received: {labels!r}."
        )
    for data, own, side in zip(x, labels, "xy", strict=True):
        try:
            check_labels(data, own, num_classes)
        except (TypeError, ValueError) as error:
            raise type(error)(f"labels_{side}: {error}") from error


def random_rows(arrays, count: int):
    """The same rows of all arrays of a structure, in which None stays None."""
    longest = len(tf.nest.flatten(arrays)[0])
    rows = np.random.default_rng(0).permutation(longest)[:count]
    return tf.nest.map_structure(lambda a: None if a is None else np.asarray(a)[rows], arrays)


def unpaired_batches(x: tuple, y: tuple, *, batch_size: int, shuffle: bool) -> tf.data.Dataset:
    """Batches of as many examples of either side, as `fit` takes them.

    An epoch goes once through the larger side; the smaller one is repeated.

    Args:
      x: Data of the one domain, and what belongs to each example, if anything does.
      y: The same of the other, in an order and a number of its own.
      batch_size: Examples of either side in a batch.
      shuffle: Whether each side is shuffled anew each time.

    Returns:
      A data set of `((x, y),)`, and what belongs to them, as a pair where it does on both sides.
    """
    longest = max(len(x[0]), len(y[0]))
    sides = [_repeated(side, longest, shuffle) for side in (x, y)]

    def structured(x, y):
        data, belonging = (x[0], y[0]), (*x[1:], *y[1:])
        if len(belonging) == 1:
            return data, *belonging
        return (data, belonging) if belonging else (data,)

    batches = tf.data.Dataset.zip(*sides).batch(batch_size).map(structured)
    steps = math.ceil(longest / batch_size)
    return made_ahead(batches.apply(tf.data.experimental.assert_cardinality(steps)))


def _repeated(side: tuple, count: int, shuffle: bool) -> tf.data.Dataset:
    arrays = tuple(np.asarray(array) for array in side)
    examples = tf.data.Dataset.from_tensor_slices(arrays)
    if shuffle:
        examples = examples.shuffle(len(arrays[0]))
    return examples.repeat().take(count)


def _is_array(value) -> bool:
    return tf.is_tensor(value) or isinstance(value, np.ndarray)
