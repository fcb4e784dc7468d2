"""The table of a run's epochs, as `keras.callbacks.CSVLogger` writes it."""

from __future__ import annotations

import csv
import itertools
import math
import pathlib
from collections.abc import Iterable

from tfp_glow.app.errors import UserError
from tfp_glow.files import replacing

__all__ = ["epochs_since_best", "keep_epochs", "validation_losses"]


def keep_epochs(path: pathlib.Path, count: int, metrics: Iterable[str]) -> None:
    """Keeps the first epochs alone; a row beyond them may be cut, and its epoch is done again.

    Args:
      path: The table.
      count: Number of epochs to keep.
      metrics: What must be there of training and validation.

    Raises:
      UserError: If the table does not hold these epochs whole.
    """
    if not count:
        path.unlink(missing_ok=True)
        return
    content = path.read_bytes().decode(errors="replace") if path.exists() else ""
    lines = content.splitlines(keepends=True)[: count + 1]
    rows = list(csv.DictReader(lines))
    columns = {name for metric in metrics for name in (metric, f"val_{metric}")}
    whole = len(rows) == count and lines[-1].endswith("\n")
    if not whole or any(not _is_whole(row, epoch, columns) for epoch, row in enumerate(rows)):
        raise UserError(
            f"'{path}' must hold a row of numbers for each of the {count} epochs that the run has "
            "behind it; it was cut or changed."
        )
    with replacing(path) as temporary:
        temporary.write_bytes("".join(lines).encode())


def validation_losses(path: pathlib.Path, count: int) -> list[float]:
    """Those of the first epochs in the table, which need not be there for none."""
    if not count:
        return []
    with open(path) as file:
        rows = itertools.islice(csv.DictReader(file), count)
        return [float(row["val_loss"]) for row in rows]


def epochs_since_best(losses: list[float]) -> int:
    """The epochs that followed the first one of the lowest loss."""
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def _is_whole(row: dict, epoch: int, columns: set[str]) -> bool:
    """Whether a row is of the epoch and has a number in each column, those of `columns` too."""
    try:
        numbers = {name: float(value) for name, value in row.items()}
    except (TypeError, ValueError):
        return False
    measured = columns <= set(numbers) and all(map(math.isfinite, numbers.values()))
    return measured and numbers["epoch"] == epoch
