"""Errors that are the user's to mend, apart from those of the program."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator

import tensorflow as tf

from tfp_glow.fitting import LossNotFiniteError

__all__ = ["UserError", "blames_input", "user_message"]

# What `tfp_glow.data` says of images while they are read, inside of TensorFlow's report of it.
_DATA_ERROR = re.compile(
    r"(?:ValueError: |assertion failed: \[)((?:\w+ of )?(?:source|split) [^\n\]]+)"
)
_DAMAGE = re.compile(r"(?:corrupted|truncated) record at (\d+)")

_FULL_DISK = os.strerror(errno.ENOSPC)  # What TensorFlow's own writers say of it, among more.
_WORKER_ENDED = "Collective ops is aborted"  # What those of the others say of it.


class UserError(ValueError):
    """What the user gave cannot be used; the message says why, and is all that is shown of it."""


@contextlib.contextmanager
def blames_input() -> Iterator[None]:
    """Turns the errors of a step that takes in what the user gave into `UserError`.

    Example:

        with blames_input():
            data = load_images(source)
    """
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(str(error)) from error
    except tf.errors.InvalidArgumentError as error:
        raise UserError(user_message(error) or error.message) from error


def user_message(error: Exception) -> str | None:
    """What to tell a user of an error; None where it is none of theirs.

    Theirs are `UserError`, a loss that is not finite, data that cannot be read, what the
    system refuses, as a full disk or a folder that may not be written, and another worker's end.
    """
    if isinstance(error, UserError | LossNotFiniteError | OSError):
        return str(error)
    if isinstance(error, tf.errors.InvalidArgumentError):
        found = _DATA_ERROR.search(error.message)
        return found and found[1]
    if isinstance(error, tf.errors.DataLossError):
        found = _DAMAGE.search(error.message)
        return found and f"source has a file with a record that is damaged, at byte {found[1]}."
    if isinstance(error, tf.errors.OpError) and _FULL_DISK in error.message:
        return _FULL_DISK
    if isinstance(error, tf.errors.OpError) and _WORKER_ENDED in error.message:
        return (
            "Another worker has ended, and tells why; start all of them again, with --resume once "
            "there is a run in the folder."
        )
    return None
