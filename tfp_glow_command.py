"""What the command `tfp-glow` runs first: its version is told without waiting for TensorFlow."""

import gc
import importlib.metadata
import sys
import traceback
from collections.abc import Callable


def main() -> None:
    """Prints the version, or runs the command line."""
    if sys.argv[1:] == ["--version"]:
        print(f"tfp-glow {importlib.metadata.version('tfp-glow')}")
        return
    from tfp_glow.app.cli import main as run

    status = _status(run)
    gc.collect()
    sys.exit(status)


def _status(run: Callable[[], None]) -> int | str | None:
    """Runs the command line, and returns its exit status once what it raised is gone.

    Data sets would live on in the frames of an exception that Python ends with, and wait for ever
    for functions of theirs that it no longer calls.
    """
    try:
        run()
    except SystemExit as end:
        return end.code
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
