"""Reading tables of numbers: CSV, Parquet and `.npy` files."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfp_glow.data.rows import BLOCK, Rows, written
from tfp_glow.data.validation import require

__all__ = ["SUFFIXES", "Table", "is_table", "read_table"]

DELIMITERS = ",;\t|"
_CSV_ERROR = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?.*invalid value (.*)$", re.S)


@dataclass(frozen=True)
class Table:
    """Named columns of numbers.

    Args:
      names: What the columns are called.
      integer: Whether the values of each are whole numbers.
      rows: The values.
    """

    names: tuple[str, ...]
    integer: tuple[bool, ...]
    rows: Rows


def is_table(source) -> bool:
    """Whether a source is the path of a table: a file with such a suffix, or a folder of them.

    A folder of images may have a table beside these.
    """
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source).expanduser()
    parts = list(path.glob("[!.]*")) if path.is_dir() else [path]
    return bool(parts) and all(part.suffix.lower() in SUFFIXES for part in parts)


def read_table(source: str | os.PathLike, columns: Sequence[str] | None) -> Table:
    """The table in a file, or in the files of one kind in a folder, one below the other.

    CSV and Parquet go to a temporary file first, in one pass.

    Args:
      source: The path.
      columns: The names of those that must be there, and of CSV and Parquet are read alone; all
        when None.

    Raises:
      ValueError: If it is no such table, or a value in it is no finite number.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise ValueError(f"source must be an existing file or folder. Received: '{path}'.")
    paths = [path]
    if path.is_dir():
        paths = sorted(part for part in path.iterdir() if part.suffix.lower() in SUFFIXES)
    kinds = {part.suffix.lower() for part in paths}
    if len(kinds) != 1 or kinds - SUFFIXES.keys():
        raise ValueError(
            f"source must be a file, or a folder of files of one kind, of {', '.join(SUFFIXES)}. "
            f"Received: '{path}'" + (f" with {sorted(kinds)}." if path.is_dir() else ".")
        )
    return SUFFIXES[kinds.pop()](paths, columns)


def _read_npy(paths: Sequence[Path], columns: Sequence[str] | None) -> Table:
    if len(paths) > 1:
        raise ValueError(f"source must be one .npy file. Received: {len(paths)} in a folder.")
    try:
        array = np.load(paths[0], mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"source must be a readable .npy file of numbers. {error}.") from error
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise ValueError(
            "source must hold numbers [rows, columns]. Received: "
            f"{array.dtype.name} {list(array.shape)} in '{paths[0]}'."
        )
    count, width = array.shape
    order = "C" if array.flags.c_contiguous else "F"
    rows = Rows(paths[0], array.dtype, count, width, array.offset, order)
    names = tuple(map(str, range(width)))
    _wanted(names, columns, paths[0])
    for index, block in enumerate(rows.all_blocks()):
        _check_finite(block, names, 1 + index * BLOCK, f"row {{}} of '{paths[0]}'")
    return Table(names, (array.dtype.kind in "iu",) * width, rows)


def _read_csv(paths: Sequence[Path], columns: Sequence[str] | None) -> Table:
    arrow, reader = require("pyarrow"), require("pyarrow.csv")
    delimiter, header = _header(paths[0])
    names = _wanted(header, columns, paths[0])
    parse = reader.ParseOptions(delimiter=delimiter, newlines_in_values=False)
    one_thread = reader.ReadOptions(use_threads=False)  # With more, errors do not tell the row.

    def opened(path, **types):
        convert = reader.ConvertOptions(include_columns=list(names), **types)
        return reader.open_csv(
            path, parse_options=parse, read_options=one_thread, convert_options=convert
        )

    def batches():
        numbers = dict.fromkeys(names, arrow.float64())
        for path in paths:
            if path is not paths[0] and _header(path) != (delimiter, header):
                raise ValueError(
                    f"source must have the same columns in all files. Received: '{path}', which "
                    f"has others than '{paths[0]}'."
                )
            yield f"line {{}} of '{path}'", 2, opened(path, column_types=numbers)

    def read():
        try:
            yield from _arrays(batches(), names)
        except arrow.ArrowInvalid as error:
            raise _csv_error(error, header) from error

    try:
        types = opened(paths[0]).schema
    except arrow.ArrowInvalid as error:
        raise _csv_error(error, header) from error
    declared = [arrow.types.is_integer(types.field(name).type) for name in names]
    return _table(names, declared, read())


def _read_parquet(paths: Sequence[Path], columns: Sequence[str] | None) -> Table:
    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    try:
        schema = parquet.read_schema(paths[0])
    except arrow.ArrowInvalid as error:
        raise ValueError(f"source must be readable Parquet. {paths[0]}: {error}.") from error
    names = _wanted(schema.names, columns, paths[0])
    for name in names:
        kind = schema.field(name).type
        if not arrow.types.is_integer(kind) and not arrow.types.is_floating(kind):
            raise ValueError(
                f"source must hold numbers. Received: column {name!r} of type {kind}; name the "
                "others by columns."
            )
    opened = (
        (f"row {{}} of '{path}'", 1, parquet.ParquetFile(path).iter_batches(columns=names))
        for path in paths
    )
    declared = [arrow.types.is_integer(schema.field(name).type) for name in names]
    return _table(names, declared, _arrays(opened, names))


SUFFIXES = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet, ".npy": _read_npy}


def _table(names: Sequence[str], declared: Sequence[bool], arrays: Iterable[np.ndarray]) -> Table:
    """The table of rows that come in parts; integers are what is declared so and is whole."""
    whole = np.array(declared)

    def watched():
        for array in arrays:
            whole[:] &= (array == np.floor(array)).all(0)
            yield array

    rows = written(watched(), len(names))
    return Table(tuple(names), tuple(whole.tolist()), rows)


def _arrays(opened: Iterable[tuple], names: Sequence[str]) -> Iterator[np.ndarray]:
    """Float64 rows of each file's batches of Arrow.

    With these come a text that tells where a row is, and the number of the first one.
    """
    for place, first, batches in opened:
        for batch in batches:
            columns = [batch.column(batch.schema.get_field_index(name)) for name in names]
            values = [column.to_numpy(zero_copy_only=False) for column in columns]
            array = np.stack(values, -1).astype(np.float64)
            _check_finite(array, names, first, place)
            first += len(array)
            yield array


def _check_finite(array: np.ndarray, names: Sequence[str], first: int, place: str) -> None:
    if np.isfinite(array).all():
        return
    row, column = np.argwhere(~np.isfinite(array))[0]
    value = array[row, column]
    raise ValueError(
        "source must hold a finite number in every cell; fill the others or leave them out. "
        f"Received: {'none' if np.isnan(value) else value} in column {names[column]!r}, "
        f"{place.format(first + row)}."
    )


def _wanted(header: Sequence[str], columns: Sequence[str] | None, path: Path) -> list[str]:
    repeated = {name for name in header if header.count(name) > 1}
    if repeated:
        raise ValueError(
            f"source must have columns of different names. Received: {sorted(repeated)} more than "
            f"once in '{path}'."
        )
    if columns is None:
        return list(header)
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(
            f"columns must be among {list(header)}, those of '{path}'. Received: {missing}."
        )
    return list(columns)


def _header(path: Path) -> tuple[str, list[str]]:
    """The delimiter of a CSV file, and the names in its first line."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            line = file.readline()
    except UnicodeDecodeError as error:
        raise ValueError(f"source must be text in UTF-8. Received: '{path}' ({error}).") from error
    delimiter = max(DELIMITERS, key=line.count)
    names = next(csv.reader([line], delimiter=delimiter), [])
    if not any(names):
        raise ValueError(f"source must have a line with names. Received: '{path}', which is empty.")
    if all(map(_is_number, names)):
        raise ValueError(
            "source must have a first line with the columns' names. Received: numbers in that of "
            f"'{path}'."
        )
    return delimiter, names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _csv_error(error: Exception, header: Sequence[str]) -> ValueError:
    found = _CSV_ERROR.search(str(error))
    if not found:
        return ValueError(f"source must be a table. Received: {error}.")
    column, row, value = found.groups()
    where = f", line {row}" if row else ""
    return ValueError(
        f"source must hold numbers. Received: {value} in column {header[int(column)]!r}{where}; "
        "name the columns of numbers by columns."
    )
