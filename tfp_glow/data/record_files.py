"""Which files of TFRecords a source names, and how many records they hold."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tfp_glow.data.parts import find_splits

__all__ = ["count_records", "find_record_files", "is_records"]

_MARK = ".tfrecord"  # tfds' files go on after it, as in mnist-train.tfrecord-00000-of-00001.
_SPLIT = re.compile(r"(?:^|[-_./])(train|validation|val|test)(?=[-_./])")
_LENGTH, _CHECKSUM = 8, 4  # Bytes before a record, of each; and a checksum behind it.


def is_records(source) -> bool:
    """Whether a source is a path or a pattern of such files, or a folder of them."""
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source).expanduser()
    return next(_inside(path), None) is not None if path.is_dir() else _MARK in path.name


def find_record_files(source: str | os.PathLike) -> dict[str, list[Path]]:
    """The files of the parts "train", "validation" and "test", in the order of their names.

    The name of a file, or of its folder, tells the part; without any it is "train".

    Raises:
      ValueError: If there are none, or none for training.
    """
    path = Path(source).expanduser()
    found = _inside(path) if path.is_dir() else map(Path, glob.glob(str(path)))
    paths = sorted(path for path in found if path.is_file())
    if not paths:
        raise ValueError(f"source must name files of records. Received: '{path}', which has none.")
    root = os.path.commonpath([path.parent for path in paths])
    by_name = defaultdict(list)
    for path in paths:
        split = _SPLIT.search(path.relative_to(root).as_posix())
        by_name[split[1] if split else "train"].append(path)
    return {part: by_name[name] for part, name in find_splits(by_name, f"'{source}'").items()}


def count_records(path: Path) -> int:
    """The number of records in a file, of which only their lengths are read.

    Raises:
      ValueError: If there are none, or the file is no file of records or not whole.
    """
    size, position, count = path.stat().st_size, 0, 0
    with open(path, "rb") as file:
        while position < size:
            file.seek(position)
            length = int.from_bytes(file.read(_LENGTH), "little")
            position += _LENGTH + _CHECKSUM + length + _CHECKSUM
            count += 1
    if position > size:
        raise ValueError(
            f"source must have whole files of records, not compressed. Received: '{path}', which "
            f"ends within record {count}, or is none."
        )
    if not count:
        raise ValueError(f"source must have records. Received: '{path}', which is empty.")
    return count


def _inside(folder: Path) -> Iterable[Path]:
    """The files of records in a folder or one level below."""
    for pattern in (f"[!.]*{_MARK}*", f"[!.]*/[!.]*{_MARK}*"):
        yield from folder.glob(pattern)
