"""One writer at a time."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import filelock

from tfp_glow.app.errors import UserError

__all__ = ["LOCK", "sole_writer"]

LOCK = ".lock"


@contextlib.contextmanager
def sole_writer(folder: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from the folder, until this one leaves the block or is killed.

    The folder is made where it is missing, and removed again where nothing is written to it.

    Raises:
      UserError: If another process is in such a block with the folder.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / LOCK, timeout=0):
            try:
                yield
            finally:
                (folder / LOCK).unlink()
    except filelock.Timeout:
        raise UserError(
            f"output must be no other run's. Received: {str(folder)!r}, which a run that is "
            "under way writes."
        ) from None
    finally:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
