"""What the tests of the command line need."""

from __future__ import annotations

import csv
import pathlib

import keras
import numpy as np
from typer.testing import CliRunner

from tfp_glow.app import callbacks
from tfp_glow.app import run as run_module
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


def dying(monkeypatch):
    """A function that lets runs die in the training step that it is given, None for in none."""

    def die_in(step):
        class Death(callbacks.TensorBoardScalars):
            def on_train_batch_end(self, batch, logs=None):
                if int(self.model.optimizer.iterations) == step:
                    raise Killed

        monkeypatch.setattr(run_module, "TensorBoardScalars", Death)

    return die_in


def check_equal_runs(whole: pathlib.Path, pieces: pathlib.Path, *, steps: int) -> None:
    """Asserts that two runs came to the same model, optimizer and history after so many steps."""
    models = [keras.saving.load_model(folder / "model.keras") for folder in (whole, pieces)]
    for model in models:
        assert int(model.optimizer.iterations) == steps
    states = ([*model.variables, *model.optimizer.variables] for model in models)
    for variable, other in zip(*states, strict=True):
        np.testing.assert_array_equal(variable, other, err_msg=variable.path)
    texts = [(folder / "history.csv").read_bytes() for folder in (whole, pieces)]
    assert texts[0] == texts[1]


class Killed(BaseException):
    """Ends a run as a signal does that cannot be caught: nothing is written any more."""
