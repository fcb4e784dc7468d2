"""Rows of numbers in a file, of which a few are in memory at a time."""

from __future__ import annotations

import math
import os
import pathlib
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["BLOCK", "Rows", "written"]

BLOCK = 4096  # Rows that are read at once.


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows `[count, width]` of one dtype in a file.

    Args:
      path: The file.
      dtype: dtype of its numbers.
      count: Number of rows.
      width: Numbers in a row.
      offset: Bytes before the first number.
      order: `"C"`, row by row, or `"F"`, column by column.
    """

    path: pathlib.Path
    dtype: np.dtype
    count: int
    width: int
    offset: int = 0
    order: str = "C"

    @property
    def blocks(self) -> int:
        """Number of blocks, the last of which may have fewer rows than `BLOCK`."""
        return math.ceil(self.count / BLOCK)

    def block(self, index: int) -> np.ndarray:
        """The rows of a block, copied: pages of a file that stayed mapped would count as memory."""
        shape = (self.count, self.width)
        mapped = np.memmap(self.path, self.dtype, "r", self.offset, shape, self.order)
        return np.array(mapped[index * BLOCK : (index + 1) * BLOCK], np.float64)

    def all_blocks(self) -> Iterator[np.ndarray]:
        """The blocks in their order."""
        return map(self.block, range(self.blocks))


def written(chunks: Iterable[np.ndarray], width: int) -> Rows:
    """Rows in a temporary file, which is removed when they are no longer used."""
    handle, path = tempfile.mkstemp(prefix="tfp-glow-", suffix=".rows")
    count = 0
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                np.ascontiguousarray(chunk, np.float64).tofile(file)
                count += len(chunk)
        rows = Rows(pathlib.Path(path), np.dtype(np.float64), count, width)
    except BaseException:
        os.unlink(path)
        raise
    weakref.finalize(rows, os.unlink, path)
    return rows
