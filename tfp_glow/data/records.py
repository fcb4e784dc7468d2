"""Images in files of TFRecords, read one after the other from several files at once."""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_glow.data.options import Options
from tfp_glow.data.parts import (
    EVERYTHING,
    Part,
    Share,
    Source,
    shares_of,
    shuffled,
    stretch_of,
)
from tfp_glow.data.record_files import count_records, find_record_files
from tfp_glow.data.record_images import read_example
from tfp_glow.data.streams import count_classes
from tfp_glow.data.validation import missing_labels

__all__ = ["read_records"]

FILES_AT_ONCE = 8


def read_records(source, options: Options) -> Source:
    """Reads examples with an image, and if asked for a label, as tensorflow-datasets writes them.

    All of a file that is read before it is used are its records' lengths and the first of them;
    where labels are wanted, these too.
    """
    files = find_record_files(source)
    counts = {part: tuple(map(count_records, paths)) for part, paths in files.items()}
    image_shape = tuple(read_example(*_first(files["train"][0]), labels=False)[0].shape)
    # Images that will be resized may differ in size.
    expected = (None, None, image_shape[-1]) if options.image_size else image_shape
    for path in itertools.chain(*files.values()):
        read_example(*_first(path), labels=options.labels, expected=expected)
    load = _loader(expected, options.labels)
    parts = {
        part: Records(
            paths=tuple(map(os.fsencode, paths)),
            counts=counts[part],
            load=load,
            image_shape=image_shape,
            record_size=sum(path.stat().st_size for path in paths) / sum(counts[part]),
        )
        for part, paths in files.items()
    }
    if not options.labels:
        return Source(parts)
    return Source(parts, max(map(_count_classes, itertools.chain(*files.values()))))


@dataclass(frozen=True)
class Records(Part):
    """Examples in files, of which each is a share of every stretch.

    Args:
      paths: The files.
      counts: Number of records in each.
      load: Makes an example from a record, its file and its place there.
      image_shape: As of every `Part`.
      record_size: Their mean size in bytes.
      share: What is taken of all records.
      span: Where the part starts and stops among these; None for all of them.
    """

    paths: tuple[bytes, ...]
    counts: tuple[int, ...]
    load: Callable
    image_shape: tuple[int, int, int]
    record_size: float
    share: Share = EVERYTHING
    span: tuple[int, int] | None = None

    def batches(self, size: int, fit: Callable, *, seed=None) -> tf.data.Dataset:
        files, count = self._files()
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(tf.range(len(files[0])), seed)
            files = tuple(tf.gather(column, order) for column in files)
        examples = tf.data.Dataset.from_tensor_slices(files).interleave(
            self._file, cycle_length=1 if seed is None else FILES_AT_ONCE
        )
        if seed is not None:
            examples = shuffled(examples, self.record_size, seed)
        batches = examples.map(
            lambda *record: fit(*self.load(*record)), num_parallel_calls=tf.data.AUTOTUNE
        ).batch(size)
        return batches.apply(tf.data.experimental.assert_cardinality(math.ceil(count / size)))

    def stretch(self, worker: int, workers: int) -> Records:
        start, stop = self._span(sum(self._kept()))
        first, end = stretch_of(stop - start, worker, workers)
        return replace(self, span=(start + first, start + end))

    def split(self, fractions: dict[str, float], seed: int) -> dict[str, Part]:
        shares = shares_of(fractions, seed)
        parts = {name: replace(self, share=share) for name, share in shares.items()}
        if not all(sum(part._kept()) for part in parts.values()):
            raise ValueError("source has too few images to split: a part has none.")
        return parts

    def _span(self, kept: int) -> tuple[int, int]:
        return self.span or (0, kept)

    def _firsts(self) -> np.ndarray:
        """The number of records before each file."""
        return np.cumsum([0, *self.counts[:-1]])

    def _kept(self) -> list[int]:
        """How many records of each file are in the share."""
        return [
            int(np.count_nonzero(self.share.has(np.arange(first, first + count))))
            for first, count in zip(self._firsts(), self.counts, strict=True)
        ]

    def _files(self) -> tuple[tuple, int]:
        """Files to read: paths, records before each, what to leave out of its share, what to take.

        And the number of examples in all of them.
        """
        kept = np.array(self._kept())
        start, stop = self._span(kept.sum())
        before = np.cumsum(kept) - kept
        skipped = np.clip(start - before, 0, kept)
        taken = np.clip(stop - before, 0, kept) - skipped
        columns = (np.array(self.paths), self._firsts(), skipped, taken)
        return tuple(tf.constant(column[taken > 0]) for column in columns), int(taken.sum())

    def _file(self, path, first, skipped, taken) -> tf.data.Dataset:
        numbered = tf.data.TFRecordDataset(path).enumerate(first)
        kept = numbered.filter(lambda index, _: self.share.has(index)).skip(skipped).take(taken)
        return kept.map(lambda index, record: (record, path, index - first))


def _first(path: Path) -> tuple[tf.Tensor, tf.Tensor, int]:
    """The first record of a file, with the file and the record's place there."""
    try:
        record = next(iter(tf.data.TFRecordDataset(os.fspath(path))))
    except tf.errors.DataLossError as error:
        raise _damaged(path) from error
    return record, tf.constant(os.fsencode(path)), 0


def _loader(expected: tuple, labels: bool) -> Callable:
    kinds = (tf.uint8, tf.int32) if labels else (tf.uint8,)
    read = functools.partial(read_example, labels=labels, expected=expected)

    def load(record, path, place):
        # Only Python can add the file's name to an error of the decoder.
        image, *label = tf.py_function(read, (record, path, place), kinds)
        image.set_shape(expected)
        for scalar in label:
            scalar.set_shape([])
        return image, *label

    return load


def _count_classes(path: Path) -> int:
    wanted = {"label": tf.io.FixedLenFeature([], tf.int64)}
    records = tf.data.TFRecordDataset(os.fspath(path)).batch(1024)
    labels = records.map(lambda batch: tf.io.parse_example(batch, wanted)["label"])
    try:
        return count_classes(labels, f"labels of '{path}'")
    except tf.errors.DataLossError as error:
        raise _damaged(path) from error
    except tf.errors.InvalidArgumentError as error:
        raise missing_labels(f"'{path}', with a record without the integer 'label'") from error


def _damaged(path: Path) -> ValueError:
    return ValueError(f"source must have whole files of records. Received: '{path}', damaged.")
