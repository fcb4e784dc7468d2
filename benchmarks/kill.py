"""Kills a training at random moments, resumes it, and compares it to one that was left alone.

    python -m benchmarks.kill --kills 20 --seed 0

After each kill (SIGKILL) every file of the run must load and be whole, and no epoch that had been
reported may be lost. At the end model.keras and history.csv must equal those of the run that was
left alone, the model to the last bit. Takes eight minutes on two busy cores.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from matplotlib import image

from tfp_glow.data import load_images

EPOCHS = 100
OPTIONS = ("--levels", "1", "--steps", "2", "--hidden-channels", "16", "--epochs", str(EPOCHS))
COMMAND = (sys.executable, "-c", "from tfp_glow.app.cli import main; main()", "train")


def start(folder: pathlib.Path) -> subprocess.Popen:
    """Starts or resumes the run."""
    resumes = (folder / "config.json").exists()
    options = ["--resume"] if resumes else OPTIONS
    with open(log_of(folder), "w") as log:
        command = [*COMMAND, "--output", str(folder), *options]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def log_of(folder: pathlib.Path) -> pathlib.Path:
    return folder.with_suffix(".log")


def reported_epochs(folder: pathlib.Path) -> int:
    """Epochs that the process said were over: each begins with a line, after the one before."""
    begun = [line for line in log_of(folder).read_text().splitlines() if line.startswith("Epoch ")]
    return int(begun[-1].split()[1].split("/")[0]) - 1 if begun else 0


def wait_for_training(process: subprocess.Popen, folder: pathlib.Path) -> None:
    """Waits until the run says that it trains, or that it has trained."""
    while "Training " not in log_of(folder).read_text():
        assert process.poll() is None, log_of(folder).read_text()
        time.sleep(0.05)


def check(folder: pathlib.Path) -> int:
    """The epochs in the files of a run; raises where a file is not whole."""
    if (folder / "config.json").exists():
        json.loads((folder / "config.json").read_text())
    for picture in folder.glob("*.png"):
        image.imread(picture)
    if not (folder / "model.keras").exists():
        return 0
    steps = int(keras.saving.load_model(folder / "model.keras").optimizer.iterations)
    best = keras.saving.load_model(folder / "best.keras")
    if (folder / "saved_model").exists():
        compare_samples(folder / "saved_model", best)
    rows = (folder / "history.csv").read_text().splitlines()[1:]
    epochs, rest = divmod(steps, batches())
    assert rest == 0, f"The model was saved in the middle of an epoch, after {steps} steps."
    assert len(rows) >= epochs, f"The history has {len(rows)} epochs of {epochs}."
    return epochs


def compare_samples(exported: pathlib.Path, model: keras.Model) -> None:
    """Raises unless an exported flow gives the model's samples."""
    sample = tf.saved_model.load(str(exported)).signatures["sample"]
    scalars = {"num_samples": 4, "seed": 1}
    inputs = {name: tf.constant(value) for name, value in scalars.items()}
    actual = sample(temperature=tf.constant(0.7), **inputs)["x"]
    expected = model.distribution.sample(4, temperature=0.7, seed=tf.constant([1, 0]))
    np.testing.assert_array_equal(actual, expected)


def batches() -> int:
    return len(load_images("digits").train)


def kill_often(folder: pathlib.Path, kills: int, longest: float, seed: int) -> None:
    """Starts the run as often as it is killed, each time at another moment."""
    moments, done = random.Random(seed), 0
    for number in range(kills):
        process = start(folder)
        wait_for_training(process, folder)
        moment = moments.uniform(0, longest)
        time.sleep(moment)
        process.kill()
        process.wait()
        epochs, known = check(folder), max(done, reported_epochs(folder))
        print(f"kill {number + 1}, {moment:.1f} s into it: {epochs} epochs saved, {known} reported")
        assert epochs >= known, "An epoch is lost."
        done = epochs


def compare(one: pathlib.Path, other: pathlib.Path) -> None:
    """Raises unless both runs came to the same."""
    models = [keras.saving.load_model(folder / "model.keras") for folder in (one, other)]
    values = [[*model.variables, *model.optimizer.variables] for model in models]
    for variable, twin in zip(*values, strict=True):
        np.testing.assert_array_equal(variable, twin, err_msg=variable.path)
    assert (one / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp())
    process = start(folder / "whole")
    wait_for_training(process, folder / "whole")
    begin = time.time()
    assert process.wait() == 0, log_of(folder / "whole").read_text()
    seconds = time.time() - begin
    print(f"The run that is left alone took {seconds:.0f} s.")
    # So that the kills meet the epochs as well as what follows them.
    kill_often(folder / "killed", arguments.kills, seconds / 4, arguments.seed)
    assert start(folder / "killed").wait() == 0, log_of(folder / "killed").read_text()
    compare(folder / "whole", folder / "killed")
    print(f"After {arguments.kills} kills the model and the history are those of that run.")


if __name__ == "__main__":
    main()
