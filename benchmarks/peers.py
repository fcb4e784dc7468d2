"""Training step and sampling of this package against other implementations of Glow.

    python -m benchmarks.peers --steps 4 16 32 --width 128 512 --repeats 9

Every model lives in a process of its own; they take turns, one step each.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.util
import itertools
import time

from benchmarks.common import (
    Worker,
    alternate,
    compare,
    peak_rss,
    report,
    serve,
    timed,
    worker_option,
)

# Name of a peer: the function that builds it, and the package that it needs.
PEERS = {
    "ours": ("benchmarks.tensorflow_peers:ours", "tensorflow"),
    "ours_glow": ("benchmarks.tensorflow_peers:ours_glow", "tensorflow"),
    "tfb": ("benchmarks.tensorflow_peers:tfb_glow", "tensorflow_probability"),
    "normflows": ("benchmarks.torch_peers:normflows_glow", "normflows"),
    "torch": ("benchmarks.torch_peers:torch_glow", "torch"),
}


def main() -> None:
    """Measures every configuration asked for, or works for such a measurement."""
    options = _options()
    if options.worker:
        _work(**options.worker)
        return
    peers = [name for name in options.peers if _available(name)]
    for steps, width in itertools.product(options.steps, options.width):
        configuration = {"steps": steps, "width": width, "batch": options.batch}
        print(f"\nsteps {steps}, width {width}, batch {options.batch}", flush=True)
        rows = measure(peers, configuration, options.repeats)
        report("peers", rows, keys=("peer", *configuration))


def measure(peers: list[str], configuration: dict, repeats: int) -> list[dict]:
    """One row a peer, all of them timed in turns."""
    workers, starts, compared = {}, {}, {}
    with contextlib.ExitStack() as stack:
        for name in peers:
            options = {"peer": name, **configuration}
            workers[name] = stack.enter_context(Worker("benchmarks.peers", options))
            starts[name] = workers[name].ask("start")
        for action in ("train", "sample"):
            actions = {n: functools.partial(w.ask, action) for n, w in workers.items()}
            alternate(actions, 1)  # A graph's first calls are slower than the later ones.
            compared[action] = compare(alternate(actions, repeats), "ours")
        rss = {name: worker.ask("peak_rss_gb") for name, worker in workers.items()}
    return [
        {
            "peer": name,
            **configuration,
            **starts[name],
            "train_s": compared["train"][name]["seconds"],
            "train_ratio": compared["train"][name]["ratio"],
            "sample_s": compared["sample"][name]["seconds"],
            "sample_ratio": compared["sample"][name]["ratio"],
            "peak_rss_gb": rss[name],
            "turns": repeats,
        }
        for name in peers
    ]


def _work(*, peer: str, **configuration) -> None:
    """Builds one peer and answers for it."""
    module, function = PEERS[peer][0].split(":")
    build = getattr(importlib.import_module(module), function)
    start = time.perf_counter()
    model = build(**configuration)
    facts = {"parameters": model.parameters, "build_s": time.perf_counter() - start}
    serve(
        {
            "start": lambda: {**facts, "first_step_s": timed(model.first_step)},
            "train": lambda: timed(model.train),
            "sample": lambda: timed(model.sample),
            "peak_rss_gb": peak_rss,
        }
    )


def _available(peer: str) -> bool:
    _, package = PEERS[peer]
    found = importlib.util.find_spec(package) is not None
    if not found:
        print(f"{peer} is skipped: {package} is not installed.")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 16, 32])
    parser.add_argument("--width", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9, help="turns of each model")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    worker_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
