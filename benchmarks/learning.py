"""How fast the default flows learn: this package's, zuko's and normflows', of equal size.

    python -m benchmarks.learning --flows maf realnvp --data "two moons" --seeds 5 --steps 500 2000

Each library builds the flow with its own defaults but for its size, trains it by Adam (1e-3) on the
same batches of 256, and measures the test data, in nats, after so many steps; one thread each, one
after the other. A row has the median and the worst of the seeds, of the weights as trained and of
their moving average, which ours have by default and the others could have too.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.common import Worker, report, serve, worker_option
from examples.targets import TARGETS

__all__ = ["LEARNING_RATE", "MOMENTUM", "Learner"]

MODULES = {
    "ours": "benchmarks.learning_ours",
    "zuko": "benchmarks.learning_zuko",
    "normflows": "benchmarks.learning_normflows",
}
FLOWS = ("maf", "maf_spline", "realnvp", "coupling_spline", "nice")
KEYS = ("flow", "data", "model", "steps")
TRAIN, TEST, BATCH = 20_000, 10_000, 256
LEARNING_RATE, MOMENTUM = 1e-3, 0.95


@dataclass(frozen=True)
class Task:
    """Data of a seed.

    Attributes:
      name: One of the targets in the plane, "digits", with uniform noise, or "red wine".
      seed: Of the data and the batches.
      red_wine: File of the red wine, as UCI has it.
    """

    name: str
    seed: int
    red_wine: str | None

    @functools.cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Training and test data `[N, size]`."""
        generator = np.random.default_rng(self.seed)
        if self.name == "digits":
            digits = _shuffled(load_digits().data)
            parts = np.split((digits + generator.random(digits.shape)) / 17.0, [1500])
        elif self.name == "red wine":
            wine = np.genfromtxt(self.red_wine, delimiter=";", skip_header=1)[:, :-1]
            parts = _standardized(_shuffled(wine))
        else:
            parts = (TARGETS[self.name](n, generator) for n in (TRAIN, TEST))
        train, test = (part.astype("float32") for part in parts)
        return train, test

    def batches(self):
        """Batches without end, the same for every library."""
        generator, train = np.random.default_rng(self.seed), self.data[0]
        while True:
            yield train[generator.integers(len(train), size=BATCH)]


def _shuffled(values: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permutation(values)


def _standardized(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nine tenths and the last tenth, with the mean and deviation of the first."""
    train, test = np.split(values, [len(values) * 9 // 10])
    return tuple((part - train.mean(0)) / train.std(0) for part in (train, test))


class Learner(Protocol):
    """A flow of one library in training, which a module's `learner(flow, size, seed, start)` gives.

    `flow` is one of the names of flows, `size` the values of an event, `seed` that of the initial
    weights, and `start` a batch of data, for what is set from data.
    """

    def parameters(self) -> int:
        """Number of trained values."""

    def learn(self, batch: np.ndarray) -> None:
        """One step of training."""

    def nats(self, x: np.ndarray, *, averaged: bool) -> float:
        """The mean negative log-likelihood, by the weights as trained or by their average."""

    def inversion_error(self, x: np.ndarray, *, averaged: bool) -> float:
        """The largest of |decode(encode(x)) - x|."""


def main() -> None:
    """Trains every flow of every library on all data, or works for such a training."""
    options = _options()
    if options.worker:
        run = functools.partial(_train, options.worker)
        serve({"train": run})
        return
    for flow, data in itertools.product(options.flows, options.data):
        rows = []
        for model in options.models:
            common = {"flow": flow, "data": data, "model": model}
            runs = []
            for seed in range(options.seeds):
                python = sys.executable if model == "ours" else options.peers_python
                its = {**common, "seed": seed, "marks": options.steps}
                its["red_wine"] = options.red_wine
                with Worker("benchmarks.learning", its, python=python) as worker:
                    runs.append(worker.ask("train"))
            rows += _rows(common, options.steps, runs) if runs[0] else []
        report("learning", rows, keys=KEYS)


def _rows(common: dict, marks: list[int], runs: list[dict]) -> list[dict]:
    """One row a number of steps, over the seeds."""
    rows = []
    for index, steps in enumerate(marks):
        nats, averaged = ([run[key][index] for run in runs] for key in ("nats", "averaged"))
        rows.append(
            {
                **common,
                "steps": steps,
                "median": statistics.median(nats),
                "worst": max(nats),
                "averaged": statistics.median(averaged),
                "averaged_worst": max(averaged),
                "seeds": len(runs),
                "parameters": runs[0]["parameters"],
                "seconds": statistics.median(run["seconds"][index] for run in runs),
                "inversion": max(run["inversion"] for run in runs),
            }
        )
    return rows


def _train(options: dict) -> dict | None:
    """What one library learns from one seed, None where it has no such flow."""
    task = Task(options["data"], options["seed"], options["red_wine"])
    (train, test), batches = task.data, task.batches()
    learner_of = importlib.import_module(MODULES[options["model"]]).learner
    start = time.perf_counter()
    learner = learner_of(options["flow"], test.shape[1], options["seed"], train[:1024])
    if learner is None:
        return None
    nats, averaged, seconds, done = [], [], [], 0
    for mark in options["marks"]:
        for batch in itertools.islice(batches, mark - done):
            learner.learn(batch)
        done = mark
        seconds.append(time.perf_counter() - start)
        nats.append(learner.nats(test, averaged=False))
        averaged.append(learner.nats(test, averaged=True))
    errors = [learner.inversion_error(test[:1000], averaged=which) for which in (False, True)]
    return {
        "nats": nats,
        "averaged": averaged,
        "seconds": seconds,
        "parameters": learner.parameters(),
        "inversion": max(errors),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flows", nargs="+", choices=FLOWS, default=list(FLOWS))
    parser.add_argument("--data", nargs="+", default=["two moons"], help="see Task")
    parser.add_argument("--red-wine", help="winequality-red.csv of UCI")
    parser.add_argument("--models", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", nargs="+", type=int, default=[200, 500, 2000])
    parser.add_argument("--peers-python", default=sys.executable, help="where torch is installed")
    worker_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
