"""What the benchmarks share: turns, processes, results and tables. Needs NumPy alone."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

__all__ = [
    "IMAGE_SHAPE",
    "LEVELS",
    "Worker",
    "alternate",
    "compare",
    "level_shapes",
    "model_flops",
    "peak_rss",
    "random_batches",
    "random_images",
    "report",
    "serve",
    "timed",
    "worker_option",
]

IMAGE_SHAPE = (32, 32, 3)
LEVELS = 3
RESULTS = pathlib.Path(__file__).parent / "results"
PACKAGES = (
    "tfp-glow",
    "tensorflow",
    "tensorflow-probability",
    "keras",
    "tf-keras",
    "numpy",
    "torch",
    "normflows",
    "zuko",
    "jax",
    "libtpu",
)


def random_images(batch: int) -> np.ndarray:
    """`[batch, 32, 32, 3]` in [-0.5, 0.5]; the same at every call."""
    uniform = np.random.default_rng(0).random((batch, *IMAGE_SHAPE), "float32")
    return uniform - np.float32(0.5)


def level_shapes() -> list[tuple[int, int, int]]:
    """`(H, W, C)` of the steps at each level, half of the channels leaving after each."""
    height, width, channels = IMAGE_SHAPE
    return [
        (height >> level, width >> level, channels * 2 ** (level + 1))
        for level in range(1, LEVELS + 1)
    ]


def model_flops(*, steps: int, width: int, batch: int) -> int:
    """Arithmetic of a training step's products: the forward pass and twice that backwards.

    What a reversible gradient evaluates again is not counted: it is no part of the model.
    """
    per_image = 0
    for height, across, channels in level_shapes():
        network = 9 * (channels // 2) * width + width**2 + 9 * width * channels
        per_image += 2 * height * across * steps * (network + channels**2)
    return 3 * batch * per_image


def timed(function: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def alternate(actions: Mapping[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Calls each action once a turn, A B C A B C ..., and collects the seconds they return."""
    seconds = {name: [] for name in actions}
    for _ in range(turns):
        for name, action in actions.items():
            seconds[name].append(action())
    return seconds


def compare(seconds: Mapping[str, list[float]], reference: str) -> dict[str, dict]:
    """Each action's median seconds, and the median over turns of its ratio to the reference."""
    base = seconds.get(reference)
    return {
        name: {
            "seconds": statistics.median(own),
            "ratio": statistics.median(a / b for a, b in zip(own, base, strict=True))
            if base
            else None,
        }
        for name, own in seconds.items()
    }


def peak_rss() -> float:
    """This process's largest resident memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


class Worker:
    """A benchmark's module in a process of its own, which answers commands.

    Args:
      module: Module whose `main` passes the option `--worker` to `serve`.
      options: What the worker is told at its start.
      python: Interpreter; this one when omitted.

    Raises:
      RuntimeError: From `ask`, if the process ends without an answer.
    """

    def __init__(self, module: str, options: dict, *, python: str = sys.executable):
        self._name = f"{module} {options}"
        self._process = subprocess.Popen(
            [python, "-m", module, "--worker", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ},
        )

    def ask(self, command: str):
        """Sends a command and waits for its answer."""
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"Worker ended with {self._process.wait()}: {self._name}.")
        return json.loads(answer)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()


def serve(actions: Mapping[str, Callable[[], object]]) -> None:
    """Answers the commands of a `Worker` until it closes."""
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(actions[line.strip()]()), file=answers, flush=True)


def worker_option(parser: argparse.ArgumentParser) -> None:
    """The option by which a `Worker` starts its module."""
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)


def random_batches(examples: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """Batches without end, in a new order each epoch, the same in every process."""
    generator = np.random.default_rng(0)
    while True:
        order = generator.permutation(len(examples))
        for start in range(0, len(order) - batch + 1, batch):
            yield examples[order[start : start + batch]]


def report(name: str, rows: list[dict], *, keys: Iterable[str]) -> None:
    """Prints rows as a table and merges them into results/NAME.json.

    Rows of other configurations in the file stay.

    Args:
      name: Name of the benchmark.
      rows: The measurements, one dictionary each.
      keys: Entries of a row that make its configuration; a new row replaces an equal one.
    """
    print(_table(rows), flush=True)
    path = RESULTS / f"{name}.json"
    known = json.loads(path.read_text())["rows"] if path.exists() else []
    merged = {tuple(str(row.get(key)) for key in keys): row for row in known}
    run = _machine()
    for row in rows:
        merged[tuple(str(row.get(key)) for key in keys)] = {**row, "run": run}
    _write_whole(path, json.dumps({"rows": list(merged.values())}, indent=1) + "\n")


def _write_whole(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def _table(rows: list[dict]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _cell(value) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else _whole(value)


def _whole(value) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _machine() -> dict:
    """The machine, the versions and the time of a run."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _cpu_model() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
