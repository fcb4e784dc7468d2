"""Training images, in another order each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from tfp_glow.data.options import Options
from tfp_glow.data.parts import Part

__all__ = ["Epochs"]


@dataclass(frozen=True)
class Epochs:
    """Batches of a part by epoch; an epoch is a function of the seed and its number.

    Args:
      part: The training images.
      options: Batch size, seed and whether to flip.
      fit: As in `Part.batches`.
    """

    part: Part
    options: Options
    fit: Callable

    def range(self, start: int, stop: int) -> tf.data.Dataset:
        """The batches of the epochs from `start` to before `stop`."""
        return self._flattened(tf.data.Dataset.range(start, stop))

    def any(self) -> tf.data.Dataset:
        """The batches of one epoch, of another each time."""
        numbers = tf.data.Dataset.random(self.options.seed, rerandomize_each_iteration=True)
        batches = self._flattened(numbers.take(1))
        count = self.part.batches(self.options.batch_size, self.fit).cardinality()
        return (
            batches.apply(tf.data.experimental.assert_cardinality(count)) if count >= 0 else batches
        )

    def _flattened(self, numbers: tf.data.Dataset) -> tf.data.Dataset:
        return numbers.flat_map(self._epoch).prefetch(tf.data.AUTOTUNE)

    def _epoch(self, number: tf.Tensor) -> tf.data.Dataset:
        seed = tf.random.experimental.stateless_fold_in([self.options.seed, 0], number)
        batches = self.part.batches(self.options.batch_size, self.fit, seed=seed)
        return _flip(batches, seed) if self.options.flip else batches


def _flip(batches: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    """Flips each image with probability 1/2."""

    def flip(index, batch):
        images, *labels = batch if isinstance(batch, tuple) else (batch,)
        batch_seed = tf.random.experimental.stateless_fold_in(seed, index)
        images = tf.image.stateless_random_flip_left_right(images, batch_seed)
        return (images, *labels) if labels else images

    return batches.enumerate().map(flip, num_parallel_calls=tf.data.AUTOTUNE)
