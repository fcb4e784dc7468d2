"""Batches of a table's rows by part: read block by block, shuffled from many places at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfp_glow.data.delivery import made_ahead
from tfp_glow.data.rows import BLOCK, Rows

__all__ = ["EVERYTHING", "TableBatches"]

EVERYTHING = "everything"
POOL = 16  # Blocks of which the rows are shuffled together.


@dataclass(frozen=True)
class TableBatches:
    """Float32 rows, or pairs of them and their targets.

    Each part has its share of every block, drawn at random, the same for a seed.

    Args:
      rows: All rows.
      order: Where the columns are, the targets last.
      num_targets: How many columns are targets.
      noisy: Whether a column gets uniform noise in [-1/2, 1/2), in this order.
      fractions: Of the rows for validation and for test.
      size: Rows a batch.
      seed: Seed of the parts, of the order of training and of the noise.
    """

    rows: Rows
    order: list[int]
    num_targets: int
    noisy: np.ndarray
    fractions: tuple[float, float]
    size: int
    seed: int

    def indices(self, part: str) -> np.ndarray:
        """Which rows are a part's, in the table's order."""
        found = [index * BLOCK + self._inside(part, index) for index in range(self.rows.blocks)]
        return np.concatenate([np.zeros([0], np.int64), *found])

    def blocks(self, part: str) -> Iterator[np.ndarray]:
        """The rows of a part without noise, in float64, block by block."""
        return (self._block(part, index) for index in range(self.rows.blocks))

    def in_order(self, part: str) -> tf.data.Dataset:
        """The batches of a part in the table's order, with the same noise each time."""

        def batches():
            random = np.random.default_rng([self.seed, 1])
            return self._batches(self.blocks(part), random)

        return self._dataset(batches, part)

    def epochs(self, start: int, stop: int) -> tf.data.Dataset:
        """The training batches of the epochs from `start` to before `stop`."""

        def batches():
            return itertools.chain.from_iterable(map(self._epoch, range(start, stop)))

        return self._dataset(batches, "train", passes=stop - start)

    def any_epoch(self) -> tf.data.Dataset:
        """The training batches of one epoch, of another each time."""
        numbers = itertools.count()
        return self._dataset(lambda: self._epoch(next(numbers)), "train")

    def _epoch(self, number: int) -> Iterator[np.ndarray]:
        random = np.random.default_rng([self.seed, 2, number])
        order = random.permutation(self.rows.blocks)

        def pools():
            for start in range(0, len(order), POOL):
                chosen = order[start : start + POOL]
                pool = np.concatenate([self._block("train", index) for index in chosen])
                yield random.permutation(pool)

        return self._batches(pools(), random)

    def _batches(self, chunks: Iterable[np.ndarray], random) -> Iterator:
        for rows in _rebatched(chunks, self.size):
            noise = random.random(rows.shape) - 0.5
            rows = (rows + np.where(self.noisy, noise, 0.0)).astype(np.float32)
            width = rows.shape[1] - self.num_targets
            yield (rows[:, :width], rows[:, width:]) if self.num_targets else rows

    def _block(self, part: str, index: int) -> np.ndarray:
        return self.rows.block(index)[self._inside(part, index)][:, self.order]

    def _inside(self, part: str, index: int) -> np.ndarray:
        """Which rows of a block are the part's, in their order."""
        size = min(BLOCK, self.rows.count - index * BLOCK)
        if part == EVERYTHING:
            return np.arange(size)
        order = np.random.default_rng([self.seed, 0, index]).permutation(size)
        ends = [0, *(round(sum(self.fractions[: k + 1]) * size) for k in range(2)), size]
        place = ("validation", "test", "train").index(part)
        return np.sort(order[ends[place] : ends[place + 1]])

    def _dataset(self, batches: Callable, part: str, *, passes: int = 1) -> tf.data.Dataset:
        width = len(self.order) - self.num_targets
        spec = tf.TensorSpec([None, width], tf.float32)
        if self.num_targets:
            spec = (spec, tf.TensorSpec([None, self.num_targets], tf.float32))
        count = sum(len(self._inside(part, index)) for index in range(self.rows.blocks))
        dataset = tf.data.Dataset.from_generator(batches, output_signature=spec)
        cardinality = tf.data.experimental.assert_cardinality(passes * -(-count // self.size))
        return made_ahead(dataset.apply(cardinality))


def _rebatched(chunks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The rows of the chunks in batches of one size, the last of which may have fewer."""
    left = []
    for chunk in chunks:
        rows = np.concatenate([*left, chunk])
        whole = len(rows) - len(rows) % size
        yield from np.split(rows[:whole], range(size, whole, size)) if whole else ()
        left = [rows[whole:]]
    if left and len(left[0]):
        yield left[0]
