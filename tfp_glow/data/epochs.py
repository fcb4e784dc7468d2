"""Training images, in another order each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import tensorflow as tf

from tfp_glow.data.delivery import made_ahead, replica_batches
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
        return self._flattened(self.part.opened(), tf.data.Dataset.range(start, stop))

    def any(self) -> tf.data.Dataset:
        """The batches of one epoch, of another each time."""
        numbers = tf.data.Dataset.random(self.options.seed, rerandomize_each_iteration=True)
        part = self.part.opened()
        batches = self._flattened(part, numbers.take(1))
        count = part.batches(self.options.batch_size, self.fit).cardinality()
        return (
            batches.apply(tf.data.experimental.assert_cardinality(count)) if count >= 0 else batches
        )

    def of_worker(
        self, context: tf.distribute.InputContext, start: int, stop: int
    ) -> tf.data.Dataset:
        """The batches of a worker's replicas, one after the other, from its stretch of the part.

        Raises:
          ValueError: If the batch size cannot be divided by the number of all replicas.
        """
        workers, of_all = context.num_input_pipelines, context.num_replicas_in_sync
        if self.options.batch_size % of_all:
            raise ValueError(
                f"batch_size must be divisible by the number of replicas, {of_all}, where each "
                f"reads its own images. Received: {self.options.batch_size}."
            )
        size, replicas = self.options.batch_size // of_all, of_all // workers
        own = self.part.stretch(context.input_pipeline_id, workers)
        options = replace(self.options, batch_size=replicas * size)
        return replica_batches(Epochs(own, options, self.fit).range(start, stop), replicas, size)

    def _flattened(self, part: Part, numbers: tf.data.Dataset) -> tf.data.Dataset:
        return made_ahead(numbers.flat_map(lambda number: self._epoch(part, number)))

    def _epoch(self, part: Part, number: tf.Tensor) -> tf.data.Dataset:
        seed = tf.random.experimental.stateless_fold_in([self.options.seed, 0], number)
        batches = part.batches(self.options.batch_size, self.fit, seed=seed)
        return _flip(batches, seed) if self.options.flip else batches


def _flip(batches: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    """Flips each image with probability 1/2."""

    def flip(index, batch):
        images, *labels = batch if isinstance(batch, tuple) else (batch,)
        batch_seed = tf.random.experimental.stateless_fold_in(seed, index)
        images = tf.image.stateless_random_flip_left_right(images, batch_seed)
        return (images, *labels) if labels else images

    return batches.enumerate().map(flip, num_parallel_calls=tf.data.AUTOTUNE)
