"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

__all__ = ["remove_leftovers", "replacing"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary name for a file or folder, which replaces `path` once it is written.

    Where the block raises, what stood at `path` still does and nothing else is left behind. The
    temporary file has the name of the final one, whose suffix libraries read, in a new folder.

    Args:
      path: File or folder to write; its folder is made where it is missing.

    Example:

        with replacing("run/config.json") as temporary:
            temporary.write_text(text)
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_prefix(path), dir=path.parent) as folder:
        temporary = pathlib.Path(folder, path.name)
        yield temporary
        if temporary.is_dir() and path.exists():
            os.replace(path, f"{temporary}.old")  # Never half of a folder at `path`.
        os.replace(temporary, path)


def remove_leftovers(path: str | os.PathLike) -> None:
    """Removes what writers of `path` left behind that were killed; none may be at work."""
    path = pathlib.Path(path)
    for folder in path.parent.glob(f"{glob.escape(_prefix(path))}????????"):
        shutil.rmtree(folder)


def _prefix(path: pathlib.Path) -> str:
    return f".partial-{path.name}-"
