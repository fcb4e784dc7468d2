"""What the tests of the command line need."""

from __future__ import annotations

import csv
import pathlib

from typer.testing import CliRunner

from tfp_glow.app.cli import app


def invoke(*arguments):
    """Runs `tfp-glow` with these arguments."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def check_error(result, *parts: str) -> None:
    """Asserts that a command failed with one line on stderr that has these parts."""
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def history(folder: pathlib.Path) -> list[dict]:
    """The rows of a run's table of epochs."""
    with open(folder / "history.csv") as file:
        return list(csv.DictReader(file))


class Killed(BaseException):
    """Ends a run as a signal does that cannot be caught: nothing is written any more."""
