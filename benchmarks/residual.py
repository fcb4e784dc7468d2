"""Residual flows of this package and of normflows, trained for the same time.

    python -m benchmarks.residual plane --minutes 2
    python -m benchmarks.residual mnist --data mnist.npz --minutes 40

The two train at the same time, each in a process of its own on a core of its own, until each has
had so many minutes of its core; what else runs on the machine only makes them wait. Points in the
plane have exact log-dets, images estimated ones, with 20 exact terms for the test images.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import os
import pathlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.common import Worker, random_batches, report, serve, worker_option
from examples.targets import TARGETS

__all__ = ["MODULES", "Budget", "Task", "conv_norm", "dense_norm"]

# The module of each implementation, whose `Trained(task, output)` trains and measures.
MODULES = {"ours": "benchmarks.residual_ours", "normflows": "benchmarks.residual_normflows"}
KEYS = ("task", "model", "minutes")


@dataclass(frozen=True)
class Task:
    """Data, and the sizes of the flow that both implementations train on them.

    Attributes:
      name: "mnist", or one of the targets in the plane.
      train, test: Images `[N, 28, 28]` of integers, or points `[N, 2]`.
      steps: Residual blocks, at each of two levels of images.
      hidden: Width of a block's two hidden layers.
      coefficient: Bound of each layer's spectral norm.
      batch: Examples of a training step.
      learning_rate: Of Adam, at its highest.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    steps: int
    hidden: int
    coefficient: float
    batch: int
    learning_rate: float

    @classmethod
    def load(cls, name: str, data: str | None) -> Task:
        """The task of that name."""
        if name == "mnist":
            with np.load(data) as file:
                train, test = file["x_train"], file["x_test"]
            return cls(name, train, test, 8, 64, 0.98, 64, 2e-3)
        generator = np.random.default_rng(0)
        train, test = (TARGETS[name](n, generator).astype("float32") for n in (20000, 5000))
        return cls(name, train, test, 16, 128, 0.9, 500, 2e-3)

    def batches(self):
        """Random batches without end, the same for both implementations."""
        return random_batches(self.train, self.batch)


class Budget:
    """The time of this process on its core, from the start of training.

    Args:
      minutes: How much of it there is.
      clock: What tells the time.
    """

    def __init__(self, minutes: float, *, clock: Callable[[], float] = time.process_time):
        self._all, self._clock, self._start = 60.0 * minutes, clock, clock()

    @property
    def share(self) -> float:
        """How much of it is spent, from 0 to 1."""
        return min(self.seconds / self._all, 1.0)

    @property
    def seconds(self) -> float:
        """How many seconds of it are spent."""
        return self._clock() - self._start

    def learning_rate(self, highest: float) -> float:
        """Up over a fiftieth of the time, then down along a cosine."""
        share = self.share
        return highest * min(50 * share, 0.5 * (1 + np.cos(np.pi * share)))


def dense_norm(kernel: np.ndarray) -> float:
    """The largest singular value of a matrix."""
    return float(np.linalg.svd(kernel.astype(np.float64), compute_uv=False)[0])


def conv_norm(kernel: np.ndarray, size: tuple[int, int]) -> float:
    """The norm of a zero-padded convolution on images of that size, from its whole matrix.

    Args:
      kernel: `[k, k, in, out]`, k odd.
      size: Height and width of the images.
    """
    side, _, inputs, outputs = kernel.shape
    if side == 1:
        return dense_norm(kernel[0, 0])
    (height, width), pad = size, side // 2
    padded = np.zeros((height, width, outputs, height + 2 * pad, width + 2 * pad, inputs))
    for row in range(height):
        for column in range(width):
            window = padded[row, column, :, row : row + side, column : column + side]
            window[:] = kernel.transpose(3, 0, 1, 2)
    matrix = padded[:, :, :, pad : pad + height, pad : pad + width]
    matrix = matrix.reshape(height * width * outputs, height * width * inputs)
    gram = matrix @ matrix.T if outputs < inputs else matrix.T @ matrix
    return float(np.sqrt(np.linalg.eigvalsh(gram)[-1]))


def main() -> None:
    """Trains both on every task, or works for such a training."""
    options = _options()
    if options.worker:
        _work(**options.worker)
        return
    for name in TARGETS if options.task == "plane" else ["mnist"]:
        report("residual", _compare(name, options), keys=KEYS)


def _compare(name: str, options: argparse.Namespace) -> list[dict]:
    """One row an implementation."""
    common = {"task": name, "data": options.data, "minutes": options.minutes}
    with contextlib.ExitStack() as stack:
        workers = []
        for core, model in enumerate(options.models):
            its = {**common, "model": model, "core": core, "output": str(options.output)}
            workers.append(stack.enter_context(Worker("benchmarks.residual", its)))
        pool = stack.enter_context(ThreadPoolExecutor())
        return list(pool.map(lambda worker: worker.ask("train"), workers))


def _work(*, task: str, data: str | None, minutes: float, model: str, core: int, output: str):
    """Trains one implementation on one core."""
    os.sched_setaffinity(0, {core})
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    train = importlib.import_module(MODULES[model]).train
    serve(
        {"train": functools.partial(_train, train, Task.load(task, data), minutes, model, folder)}
    )


def _train(train: Callable, task: Task, minutes: float, model: str, folder: pathlib.Path) -> dict:
    start = time.perf_counter()
    measured = train(task, Budget(minutes), folder / f"{model}-{task.name.replace(' ', '_')}")
    facts = {"task": task.name, "model": model, "minutes": minutes}
    return {**facts, **measured, "wall_s": time.perf_counter() - start}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", nargs="?", choices=("plane", "mnist"), default="plane")
    parser.add_argument("--data", help="mnist.npz, as Keras has it")
    parser.add_argument("--minutes", type=float, default=2.0, help="time on a core, of training")
    parser.add_argument("--models", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/residual"))
    worker_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
