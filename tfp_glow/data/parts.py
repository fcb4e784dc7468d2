"""Parts of a data set, train, validation and test, and how each kind is split and shuffled."""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf

__all__ = [
    "EVERYTHING",
    "Indexed",
    "Part",
    "Share",
    "Sliced",
    "Source",
    "Stream",
    "find_splits",
    "shares_of",
    "shuffled",
    "stretch_of",
]

SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
SHUFFLE_BYTES, SHUFFLE_IMAGES = 2**28, 2**16  # what the buffer that shuffles a stream may hold
COUNTED_IMAGES = 10**7  # longest stream of which the size of a part is counted
GOLDEN = 2654435769  # 2**32 divided by the golden ratio


class Part(abc.ABC):
    """Examples: tuples of a uint8 image `[H, W, C]` and, if asked for, an int32 label."""

    image_shape: tuple[int, int, int]

    def opened(self) -> Part:
        """The part with its files open, which cannot be done inside of a graph."""
        return self

    def stretch(self, worker: int, workers: int) -> Part | None:
        """What one of several workers reads of it; None where each must read everything.

        Stretches are of one length, so that two of them may share an example.
        """
        return None

    @abc.abstractmethod
    def batches(self, size: int, fit: Callable, *, seed=None) -> tf.data.Dataset:
        """Batches of the examples, in a random order where a stateless seed `[2]` is given.

        `fit` maps one example, or a batch of them, as the kind of part prefers.
        """

    @abc.abstractmethod
    def split(self, fractions: dict[str, float], seed: int) -> dict[str, Part]:
        """Disjoint parts of the given fractions, and the rest under "train"."""


@dataclass(frozen=True)
class Source:
    """The parts that a source has, at least "train", and what its values mean."""

    parts: dict[str, Part]
    num_classes: int | None = None
    num_bins: int = 256


@dataclass(frozen=True)
class Indexed(Part):
    """Examples that `load` makes from an index, or, if `vectorized`, from a vector of indices."""

    indices: np.ndarray
    load: Callable
    image_shape: tuple[int, int, int]
    vectorized: bool = False

    def batches(self, size: int, fit: Callable, *, seed=None) -> tf.data.Dataset:
        def load(index):
            return fit(*self.load(index))

        order = tf.constant(self.indices)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed)
        indices = tf.data.Dataset.from_tensor_slices(order)
        if self.vectorized:
            return indices.batch(size).map(load, num_parallel_calls=tf.data.AUTOTUNE)
        return indices.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(size)

    def split(self, fractions: dict[str, float], seed: int) -> dict[str, Part]:
        order = np.random.default_rng(seed).permutation(self.indices)
        ranges = _ranges(len(order), fractions)
        return {
            name: replace(self, indices=order[start:stop]) for name, (start, stop) in ranges.items()
        }


@dataclass(frozen=True)
class Share:
    """Part of every stretch of a stream.

    Multiples of the golden ratio modulo 1 fill [0, 1) evenly, and an irrational step meets no
    period in the labels.

    Args:
      phase: Where the multiples start, in 2**-32.
      low: The least that is in the share, in 2**-32.
      high: The least that is above it.
    """

    phase: int
    low: int
    high: int

    def has(self, index):
        """Whether examples are in the share, by their places in the stream, int64."""
        position = (index * GOLDEN + self.phase) % 2**32
        return (position >= self.low) & (position < self.high)


EVERYTHING = Share(0, 0, 2**32)


def shares_of(fractions: dict[str, float], seed: int) -> dict[str, Share]:
    """Disjoint shares of the given fractions, and the rest under "train"."""
    phase = int(np.random.default_rng(seed).integers(2**32))
    edges = [int(edge * 2**32) for edge in np.cumsum([0.0, *fractions.values()])] + [2**32]
    spans = zip([*fractions, "train"], itertools.pairwise(edges), strict=True)
    return {name: Share(phase, low, high) for name, (low, high) in spans}


@dataclass(frozen=True)
class Stream(Part):
    """Examples that can only be read one after the other."""

    dataset: tf.data.Dataset
    image_shape: tuple[int, int, int]

    def batches(self, size: int, fit: Callable, *, seed=None) -> tf.data.Dataset:
        examples = self.dataset
        if seed is not None:
            examples = shuffled(examples, math.prod(self.image_shape), seed)
        return examples.map(fit, num_parallel_calls=tf.data.AUTOTUNE).batch(size)

    def split(self, fractions: dict[str, float], seed: int) -> dict[str, Part]:
        shares = shares_of(fractions, seed)
        return {name: replace(self, dataset=self._keep(share)) for name, share in shares.items()}

    def _keep(self, share: Share) -> tf.data.Dataset:
        numbered = self.dataset.enumerate()
        kept = numbered.filter(lambda index, _: share.has(index)).map(lambda _, example: example)
        if next(iter(kept.take(1)), None) is None:
            raise ValueError("source has too few images to split: a part has none.")
        size = self.dataset.cardinality()
        if not 0 <= size <= COUNTED_IMAGES:
            return kept
        count = tf.math.count_nonzero(share.has(tf.range(size)))  # a filter cannot know it
        return kept.apply(tf.data.experimental.assert_cardinality(count))


@dataclass(frozen=True)
class Sliced(Part):
    """A stream of which `open_range(start, stop)` reads any range alone."""

    open_range: Callable[[int, int], tf.data.Dataset] = field(repr=False)
    start: int
    stop: int
    image_shape: tuple[int, int, int]

    def opened(self) -> Stream:
        return Stream(self.open_range(self.start, self.stop), self.image_shape)

    def batches(self, size: int, fit: Callable, *, seed=None) -> tf.data.Dataset:
        return self.opened().batches(size, fit, seed=seed)

    def stretch(self, worker: int, workers: int) -> Sliced:
        start, stop = stretch_of(self.stop - self.start, worker, workers)
        return replace(self, start=self.start + start, stop=self.start + stop)

    def split(self, fractions: dict[str, float], seed: int) -> dict[str, Part]:
        ranges = _ranges(self.stop - self.start, fractions)
        return {
            name: replace(self, start=self.start + start, stop=self.start + stop)
            for name, (start, stop) in ranges.items()
        }


def shuffled(examples: tf.data.Dataset, size: float, seed: tf.Tensor) -> tf.data.Dataset:
    """A stream in a random order, in a function that tf.data traces.

    Args:
      examples: The stream.
      size: Bytes of an example, by which the buffer is as large as memory allows.
      seed: A stateless seed `[2]`.
    """
    # Of this function's graph alone. By the seed of the program, where that is 0, TensorFlow would
    # ask in Python whether the number is 0 too.
    tf.random.set_seed(1)
    number = tf.random.stateless_uniform([], seed, None, None, tf.int64)
    fitting = min(SHUFFLE_IMAGES, max(1, int(SHUFFLE_BYTES / size)))
    return examples.shuffle(fitting, seed=number, reshuffle_each_iteration=False)


def stretch_of(size: int, worker: int, workers: int) -> tuple[int, int]:
    """Where a worker's stretch of `size` examples starts and stops, for `Part.stretch`."""
    start = size * worker // workers
    return start, start + math.ceil(size / workers)


def find_splits(names: Iterable[str], where: str) -> dict[str, str]:
    """Maps the parts "train", "validation" and "test" to the names that a source gives them."""
    names = sorted(names)
    found = {
        part: next(name for name in spellings if name in names)
        for part, spellings in SPLIT_NAMES.items()
        if any(name in names for name in spellings)
    }
    if "train" not in found:
        raise ValueError(f"source must have a train split. Received: {where} with {names}.")
    return found


def _ranges(size: int, fractions: dict[str, float]) -> dict[str, tuple[int, int]]:
    counts = [max(1, round(fraction * size)) for fraction in fractions.values()]
    edges = [0, *np.cumsum(counts).tolist(), size]
    if edges[-2] >= size:
        raise ValueError(
            f"source has too few images to split. Received: {size} for train and {fractions}."
        )
    return dict(zip([*fractions, "train"], itertools.pairwise(edges), strict=True))
