"""A SavedModel under load: threads that call one of its signatures as fast as it answers.

    TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python -m benchmarks.serving

What a server adds, its network and its own batching, is not in these figures. The seconds of the
processor are those of all threads, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import threading
import time

import numpy as np
import tensorflow as tf

from benchmarks.common import report
from tfp_glow import Dequantized, Flow, export_saved_model, flows

__all__ = ["main"]

MODELS = {
    "MAF, 10 values": lambda: flows.maf(10, seed=0),
    "RealNVP, 10 values": lambda: flows.realnvp(10, seed=0),
    "Glow, 8x8 digits": lambda: Dequantized(
        flows.glow((8, 8, 1), levels=2, steps=32, hidden_channels=32, seed=0), 17
    ),
}


def main() -> None:
    """Loads each model anew and asks it for densities, in batches of each size."""
    options = _options()
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "saved_model")
            distribution: Flow | Dequantized = MODELS[name]()
            export_saved_model(distribution, path)
            loaded = tf.saved_model.load(path)
            rows = [
                {"model": name, "batch": batch, **_load(loaded, distribution, batch, options)}
                for batch in options.batches
            ]
        report("serving", rows, keys=("model", "batch"))


def _load(loaded, distribution, batch: int, options: argparse.Namespace) -> dict:
    """What clients see that each send a batch when the last one is answered."""
    signature = loaded.signatures["log_prob"]
    x = tf.zeros([batch, *distribution.event_shape], distribution.dtype)
    signature(x=x)
    latencies, start, busy = [], time.perf_counter(), time.process_time()

    def client():
        while (sent := time.perf_counter()) < start + options.seconds:
            signature(x=x)["log_prob"].numpy()
            latencies.append(time.perf_counter() - sent)

    threads = [threading.Thread(target=client) for _ in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed, busy = time.perf_counter() - start, time.process_time() - busy
    return {
        "requests_per_s": len(latencies) / passed,
        "examples_per_s": batch * len(latencies) / passed,
        "median_ms": 1e3 * float(np.median(latencies)),
        "ms_of_99_percent": 1e3 * float(np.quantile(latencies, 0.99)),
        "processor_ms": 1e3 * busy / len(latencies),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
