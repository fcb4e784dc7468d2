"""Memory of a training on tables larger and larger: made in parts, read in parts.

    python -m benchmarks.tables --gigabytes 0.05 0.5 5

Each size is a folder of CSV files of ten correlated columns. A row has the seconds until its
statistics are known, those of one epoch of a small MAF, and the process's largest resident memory.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time

import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv

from benchmarks.common import Worker, peak_rss, report, serve, worker_option
from tfp_glow import FlowModel, flows
from tfp_glow.data import load_table

__all__ = ["main"]

COLUMNS, ROWS_A_PART = 10, 250_000


def main() -> None:
    """Measures every size in a process of its own."""
    options = _options()
    if options.worker:
        _work(**options.worker)
        return
    for gigabytes in options.gigabytes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            size, count = make_parts(pathlib.Path(folder), gigabytes)
            with Worker("benchmarks.tables", {"folder": folder}) as worker:
                row = {"gigabytes": round(size, 2), "rows": count, **worker.ask("train")}
        report("tables", [row], keys=("gigabytes",))


def make_parts(folder: pathlib.Path, gigabytes: float) -> tuple[float, int]:
    """Writes CSV files of so much together; returns how much it is, and the number of rows."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=[COLUMNS, COLUMNS])
    written = parts = 0
    while written < gigabytes * 1e9:
        values = np.tanh(random.normal(size=[ROWS_A_PART, COLUMNS]) @ mixing)
        table = pa.table({f"c{index}": column for index, column in enumerate(values.T)})
        path = folder / f"part-{parts:05d}.csv"
        pa.csv.write_csv(table, path)
        written, parts = written + path.stat().st_size, parts + 1
    return written / 1e9, parts * ROWS_A_PART


def _work(*, folder: str) -> None:
    def measure() -> dict:
        start = time.perf_counter()
        data = load_table(folder, batch_size=8192)
        load_s = time.perf_counter() - start
        flow = flows.tabular(flows.maf(COLUMNS, steps=2, hidden_units=(32,)), data.columns)
        model = FlowModel(flow)
        model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0))
        start = time.perf_counter()
        history = model.fit(data.epochs(0, 1), validation_data=data.validation, verbose=0).history
        epoch_s = time.perf_counter() - start
        nats = history["val_loss"][-1]
        return {"load_s": load_s, "epoch_s": epoch_s, "peak_rss_gb": peak_rss(), "nats": nats}

    serve({"train": measure})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.05, 0.5, 5.0])
    parser.add_argument("--folder", help="where to make the tables")
    worker_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
