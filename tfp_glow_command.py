"""What the command `tfp-glow` runs first: its version is told without waiting for TensorFlow."""

import importlib.metadata
import sys


def main() -> None:
    """Prints the version, or runs the command line."""
    if sys.argv[1:] == ["--version"]:
        print(f"tfp-glow {importlib.metadata.version('tfp-glow')}")
        return
    from tfp_glow.app.cli import main as run

    run()
