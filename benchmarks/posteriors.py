"""Neural posterior estimation where the posterior is known: this package's flows and peers'.

    python -m benchmarks.posteriors --steps 10000 --peers-python /path/to/a/python/with/torch

Every estimator learns from the same simulations, standardized, in as many steps of equal batches.
The divergence KL(p || q) from the posterior p to the estimate q is the mean of log p - log q over
draws from p, for observations that were not trained on.
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
from typing import Literal, Protocol

import numpy as np

from benchmarks.common import Worker, report, serve, worker_option
from examples.simulators import SIMULATORS

__all__ = ["SIZES", "Estimate", "Schedule"]

MODULES = {
    "ours": "benchmarks.posteriors_ours",
    "zuko": "benchmarks.posteriors_zuko",
    "sbi": "benchmarks.posteriors_sbi",
}
KEYS = ("task", "flow", "model", "members", "steps", "batch", "learning_rate")
TEST = 100_000


@dataclass(frozen=True)
class Size:
    """Two hidden layers of each of five steps, and the bins of a spline; sbi has its own layers."""

    width: int
    bins: int | None = None
    activation: Literal["relu", "silu"] = "relu"


SIZES = {
    "maf": Size(64),
    "spline": Size(64, 8),
    "wide spline": Size(128, 16),
    "smooth spline": Size(128, 16, "silu"),
}


@dataclass(frozen=True)
class Schedule:
    """Steps of Adam, its batches, and the rate that a cosine begins with."""

    steps: int
    batch: int
    learning_rate: float


class Estimate(Protocol):
    """What `estimate(flow, x, y, schedule=, seed=)` of a module gives: a trained posterior."""

    parameters: int

    def log_prob(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """log q(x given y) `[N]` in nats."""


@dataclass(frozen=True)
class Ensemble:
    """The mean of the densities that several estimates give."""

    members: list[Estimate]

    @property
    def parameters(self) -> int:
        return sum(member.parameters for member in self.members)

    def log_prob(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        log_probs = [member.log_prob(x, y) for member in self.members]
        return np.logaddexp.reduce(log_probs) - np.log(len(log_probs))


@dataclass(frozen=True)
class Task:
    """Simulations of a task.

    Attributes:
      name: Name of the simulator.
      simulations: How many to train on.
      seed: Of the simulations.
    """

    name: str
    simulations: int
    seed: int

    @functools.cached_property
    def training(self) -> tuple[np.ndarray, np.ndarray]:
        """Parameters and observations."""
        return self._simulator.draw(self.simulations, np.random.default_rng(self.seed))

    def standardized(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """With the means and deviations of what is trained on."""
        pairs = zip((x, y), self.training, strict=True)
        return tuple(((v - t.mean(0)) / t.std(0)).astype("float32") for v, t in pairs)

    def divergence(self, estimate: Estimate) -> tuple[float, float]:
        """KL(p || q) in nats, and the standard error of its Monte Carlo mean."""
        generator = np.random.default_rng(self.seed + 1000)
        x, y = self._simulator.draw(8 * TEST, generator)
        y = y[self._simulator.well_known(x)][:TEST]
        x = self._simulator.posterior(y, generator)
        log_q = estimate.log_prob(*self.standardized(x, y)) - np.log(self.training[0].std(0)).sum()
        differences = self._simulator.log_posterior(x, y) - log_q
        return differences.mean(), differences.std() / np.sqrt(len(y))

    @functools.cached_property
    def _simulator(self):
        return SIMULATORS[self.name]()


def main() -> None:
    """Trains every estimator on every task, or works for such a training."""
    options = _options()
    if options.worker:
        serve({"train": functools.partial(_train, options.worker)})
        return
    for task, flow, model in itertools.product(options.tasks, options.flows, options.models):
        chosen = {name: getattr(options, name) for name in KEYS[3:]}
        common = {"task": task, "flow": flow, "model": model, **chosen}
        runs = []
        for seed in range(options.seeds):
            its = {**common, "seed": seed, "simulations": options.simulations}
            python = sys.executable if model == "ours" else options.peers_python
            with Worker("benchmarks.posteriors", its, python=python) as worker:
                runs.append(worker.ask("train"))
        report("posteriors", [_row(common, runs)], keys=KEYS)


def _row(common: dict, runs: list[dict]) -> dict:
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return {**common, **medians, "worst": max(run["kl"] for run in runs), "seeds": len(runs)}


def _train(options: dict) -> dict:
    """What one library learns from one seed."""
    task = Task(options["task"], options["simulations"], options["seed"])
    estimate = importlib.import_module(MODULES[options["model"]]).estimate
    data = task.standardized(*task.training)
    start = time.process_time()
    schedule = Schedule(*(options[name] for name in KEYS[4:]))
    first = options["seed"] * options["members"]
    trained = Ensemble(
        [
            estimate(options["flow"], *data, schedule=schedule, seed=first + member)
            for member in range(options["members"])
        ]
    )
    seconds = time.process_time() - start
    kl, error = task.divergence(trained)
    its = {"parameters": trained.parameters, "cpu_seconds": seconds}
    return {"kl": kl, "standard_error": error, **its}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=SIMULATORS, default=list(SIMULATORS))
    parser.add_argument("--flows", nargs="+", choices=SIZES, default=["maf", "spline"])
    parser.add_argument("--models", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--members", type=int, default=1, help="of an ensemble, each of --steps")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--simulations", type=int, default=100_000)
    parser.add_argument("--peers-python", default=sys.executable, help="where torch is installed")
    worker_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
