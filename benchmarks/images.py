"""Likelihoods of image flows of about equal size, trained for the same time.

    python -m benchmarks.images glow tarflow --data mnist.npz --minutes 60
    python -m benchmarks.images --data cifar10.npz --halve --minutes 15
    python -m benchmarks.images glow normflows --data cifar10.npz --halve --bits 5 --minutes 15

Two train at a time, each in a process of its own on a core of its own, until each has had so many
minutes of its core. All train on the same batches, by Adam with a rate that rises over a fiftieth
of the time and falls along a cosine, gradients clipped to a norm of 1; normflows by Adamax, as in
its own example. The rates come from runs of a few minutes, but Jet's, which is a guess. `mnist.npz`
holds `x_train` and `x_test` as Keras has them.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import os
import pathlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.common import (
    Worker,
    peak_rss,
    random_batches,
    report,
    serve,
    worker_option,
)
from benchmarks.residual import Budget

__all__ = ["Images"]

KEYS = ("data", "bits", "model", "minutes", "rate")
OURS, TORCH = "benchmarks.images_ours", "benchmarks.images_normflows"
MODULES = {"glow": OURS, "jet": OURS, "tarflow": OURS, "normflows": TORCH}
RATES = {"glow": 5e-3, "jet": 2e-3, "tarflow": 3e-3, "normflows": 1e-2}
CORES = 2


@dataclass(frozen=True)
class Images:
    """Training and test images `[N, H, W, C]`, whole numbers below `num_bins`.

    Attributes:
      train: Images to train on.
      test: Images to measure.
      num_bins: Number of their values.
      batch: Size of a batch.
    """

    train: np.ndarray
    test: np.ndarray
    num_bins: int
    batch: int = 64

    @classmethod
    def load(cls, path: str, *, halve: bool, bits: int) -> Images:
        """Reads them from a file, the first bits alone, at half their height and width if asked."""
        with np.load(path) as file:
            parts = [file[name] for name in ("x_train", "x_test")]
        parts = [part if part.ndim == 4 else part[..., np.newaxis] for part in parts]
        train, test = map(_halved, parts) if halve else parts
        return cls(train >> (8 - bits), test >> (8 - bits), num_bins=2**bits)

    def batches(self):
        """Random batches without end, the same for all."""
        return random_batches(self.train, self.batch)


def _halved(images: np.ndarray) -> np.ndarray:
    """The means of squares of 2 x 2 values, rounded."""
    height, width, channels = images.shape[1:]
    squares = images.reshape(-1, height // 2, 2, width // 2, 2, channels)
    return np.rint(squares.mean((2, 4), dtype=np.float32)).astype(np.uint8)


def main() -> None:
    """Trains the flows that are asked for, or one of them as a worker."""
    options = _options()
    if options.worker:
        _work(**options.worker)
        return
    names = ("data", "halve", "bits", "minutes", "rate")
    common = {name: getattr(options, name) for name in names}
    common["output"] = str(options.output)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(CORES))
        measure = functools.partial(_in_worker, common, options.peers_python)
        for row in pool.map(measure, options.models):
            report("images", [row], keys=KEYS)


def _in_worker(common: dict, peers_python: str | None, model: str) -> dict:
    is_peer = peers_python and MODULES[model] == TORCH
    python = {"python": peers_python} if is_peer else {}
    rate = RATES[model] if common["rate"] is None else common["rate"]
    its = {**common, "model": model, "rate": rate}
    with Worker("benchmarks.images", its, **python) as worker:
        return worker.ask("train")


def _work(
    *, data: str, halve: bool, bits: int, minutes: float, rate: float, output: str, model: str
) -> None:
    core = list(MODULES).index(model) % CORES
    os.sched_setaffinity(0, {core})
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    train = importlib.import_module(MODULES[model]).train
    images = Images.load(data, halve=halve, bits=bits)
    name = pathlib.Path(data).stem + "-halved" * halve

    def measure() -> dict:
        start, budget = time.perf_counter(), Budget(minutes)
        measured = train(model, images, budget, rate, folder / f"{name}-{bits}-{model}")
        facts = {"data": name, "bits": bits, "model": model, "minutes": minutes, "rate": rate}
        wall_s = time.perf_counter() - start
        return {**facts, **measured, "peak_rss_gb": peak_rss(), "wall_s": wall_s}

    serve({"train": measure})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODULES), help=", ".join(MODULES))
    parser.add_argument("--data", help="mnist.npz, as Keras has it, or alike")
    parser.add_argument("--halve", action="store_true", help="means of 2 x 2 pixels, rounded")
    parser.add_argument("--bits", type=int, default=8, help="of each value, the first ones")
    parser.add_argument("--minutes", type=float, default=60.0, help="time on a core, of training")
    parser.add_argument("--rate", type=float, help="the highest learning rate, for each its own")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/images"))
    parser.add_argument("--peers-python", help="interpreter that has normflows")
    worker_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
