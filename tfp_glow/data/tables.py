"""Tables as batches for training, validation and test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfp_glow.columns import Column
from tfp_glow.data.options import check_fractions, check_int
from tfp_glow.data.table_batches import EVERYTHING, TableBatches
from tfp_glow.data.table_files import read_table

__all__ = ["TableData", "load_table"]

RESOLUTION = 1e-4  # Smallest deviation by the mean that float32 can tell apart well.


@dataclass(frozen=True)
class TableData:
    """Batches of a table's rows.

    Attributes:
      train: float32 rows `[batch, columns]`, or pairs of them and their targets
        `[batch, targets]`; in another order each epoch.
      validation: The same, in the table's order; None if there are none.
      test: The same, in the table's order; None if there are none.
      everything: The rows of all parts, in the table's order.
      columns: The columns, with their statistics in training.
      targets: The columns to condition on, likewise.
      test_rows: Which rows are those of `test`, from 0.
      epochs: `epochs(start, stop)` gives the batches of the epochs from `start` to before `stop`;
        an epoch depends on the seed and its number alone, so that training can go on where it was.
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    everything: tf.data.Dataset
    columns: tuple[Column, ...]
    targets: tuple[Column, ...]
    test_rows: np.ndarray
    epochs: Callable[[int, int], tf.data.Dataset]


def load_table(
    source: str | os.PathLike,
    *,
    columns: Sequence[str] | None = None,
    target: str | Sequence[str] = (),
    batch_size: int = 64,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> TableData:
    """Loads the rows of a table as batches for training, validation and test.

    The table may be larger than memory: CSV and Parquet are written to a temporary file first, of
    8 bytes a value, and rows are read as they are used. Those of 65,536 neighbors, taken from
    random places of the file, are shuffled together.

    Columns of whole numbers, but for targets, get uniform noise in [-1/2, 1/2), so that the
    density is one of the value's probability; the noise of training is new each epoch.

    Args:
      source: The path of a file: `.csv` or `.tsv` with a first line of names, `.parquet`, or `.npy`
        with numbers `[rows, columns]`, which are named "0", "1" and so on; or of a folder of
        CSV or Parquet files, whose rows belong together.
      columns: Names of the columns whose density is wanted; all but the target when omitted.
      target: Names of the columns to condition on; none when omitted.
      batch_size: Rows a batch; the last batch may have fewer.
      validation_fraction: Part of the rows for validation.
      test_fraction: Part of the rows for test.
      seed: Seed of the split, the order of training and the noise.

    Raises:
      ValueError, TypeError: If an argument is not as above, the table is none, is empty, has a cell
        that is missing or no finite number, or a column that is constant or whose values float32
        cannot tell apart; the message names the column and the row.
      ImportError: If CSV or Parquet are to be read and pyarrow is missing.

    Example:

        data = load_table("winequality-red.csv", target="quality")
        flow = flows.tabular(flows.maf(11, condition_size=1), data.columns, targets=data.targets)
    """
    check_int(batch_size, "batch_size", low=1)
    check_int(seed, "seed", low=0, high=2**32 - 1)
    check_fractions(validation_fraction, test_fraction)
    targets = (target,) if isinstance(target, str) else tuple(target)
    both = set(targets) & set(columns or ())
    if both:
        raise ValueError(f"columns and target must not share names. Received: {sorted(both)}.")
    table = read_table(source, None if columns is None else [*columns, *targets])
    order = _order(table.names, columns, targets)
    names, integer = ([values[place] for place in order] for values in (table.names, table.integer))
    batches = TableBatches(
        rows=table.rows,
        order=order,
        num_targets=len(targets),
        # What is conditioned on has no density.
        noisy=np.array(integer) & (np.arange(len(names)) < len(names) - len(targets)),
        fractions=(validation_fraction, test_fraction),
        size=batch_size,
        seed=seed,
    )
    found = _columns(names, integer, batches.blocks("train"))
    return TableData(
        train=batches.any_epoch(),
        validation=batches.in_order("validation") if validation_fraction else None,
        test=batches.in_order("test") if test_fraction else None,
        everything=batches.in_order(EVERYTHING),
        columns=tuple(found[: len(names) - len(targets)]),
        targets=tuple(found[len(names) - len(targets) :]),
        test_rows=batches.indices("test"),
        epochs=batches.epochs,
    )


def _order(
    names: Sequence[str], columns: Sequence[str] | None, targets: Sequence[str]
) -> list[int]:
    """Where the columns are, the targets last."""
    missing = [name for name in targets if name not in names]
    if missing:
        raise ValueError(f"target must be among {list(names)}. Received: {missing}.")
    kept = columns or [name for name in names if name not in targets]
    if not kept:
        raise ValueError(f"columns must hold one beside the target at least. Received: {targets}.")
    return [names.index(name) for name in (*kept, *targets)]


def _columns(
    names: Sequence[str], integer: Sequence[bool], blocks: Iterable[np.ndarray]
) -> list[Column]:
    """The columns with the statistics of the rows in the blocks."""
    count, center, total, squares = 0, None, 0.0, 0.0
    for block in blocks:
        if not len(block):
            continue
        # Sums of what is left of a row that is typical keep their digits.
        center = block[0] if center is None else center
        count += len(block)
        total, squares = total + (block - center).sum(0), squares + ((block - center) ** 2).sum(0)
    if count < 2:
        raise ValueError(f"source must have at least 2 rows for training. Received: {count}.")
    mean = center + total / count
    deviation = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0.0))
    for name, first, middle, spread in zip(names, center, mean, deviation, strict=True):
        if spread == 0:
            raise ValueError(
                f"source must have columns that vary. Received: column {name!r}, which is {first} "
                f"in all {count} rows of training; name the others by columns."
            )
        if spread < RESOLUTION * abs(middle):
            raise ValueError(
                f"source must have columns that float32 can tell apart. Received: column {name!r}, "
                f"whose values deviate by {spread:.3g} from {middle:.3g}; subtract that from it."
            )
    statistics = zip(names, mean.tolist(), deviation.tolist(), integer, strict=True)
    return [Column(*values) for values in statistics]
