"""FFJORD in the plane, by maximum likelihood and by flow matching.

    python -m benchmarks.flow_matching --likelihood-steps 2000 --matching-steps 8000

The same network is trained by either loss on 20,000 points in batches of 500, by Adam along a
cosine from 2e-3 or, for matching, 1e-2, on one thread. Nats are those of 10,000 other points by
the solved density, and the integral is that of the density over a grid. `ot` pairs noise and data
by optimal transport.
"""

from __future__ import annotations

import argparse
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.common import report
from examples.targets import TARGETS
from tfp_glow import FlowModel, flows

__all__ = ["main"]

LOSSES = {"likelihood": "likelihood", "matching": "flow_matching", "ot": "ot_flow_matching"}
DATA = ("two moons", "checkerboard", "eight Gaussians")
TRAIN, TEST, BATCH = 20_000, 10_000, 500
LIMIT, CELLS = 6.0, 200


def main() -> None:
    """Trains one flow a target and a loss, and reports what came of it."""
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for name in options.data:
        for loss in options.losses:
            matching = options.matching_steps
            steps = options.likelihood_steps if loss == "likelihood" else matching
            report(
                "flow_matching", [_row(name, loss, steps, options)], keys=("data", "loss", "steps")
            )


def _row(name: str, loss: str, steps: int, options: argparse.Namespace) -> dict:
    generator = np.random.default_rng(options.seed)
    train, test = (TARGETS[name](n, generator).astype("float32") for n in (TRAIN, TEST))
    units = {"hidden_units": (64, 64, 64), "seed": options.seed}
    model = FlowModel(flows.ffjord(2, **units), loss=LOSSES[loss], seed=options.seed)
    start = time.process_time()
    _fit(model, train, steps, 2e-3 if loss == "likelihood" else 1e-2)
    seconds = time.process_time() - start
    return {
        "data": name,
        "loss": loss,
        "steps": steps,
        "cpu_s": seconds,
        "nats": -float(np.mean(model.predict(test, batch_size=BATCH, verbose=0))),
        "integral": _integral(model),
        "seed": options.seed,
    }


def _fit(model: FlowModel, train: np.ndarray, steps: int, learning_rate: float) -> None:
    epochs = max(1, steps * BATCH // TRAIN)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=1.0)
    model.compile(optimizer, jit_compile=True)
    model.fit(train, batch_size=BATCH, epochs=epochs, verbose=0)


def _integral(model: FlowModel) -> float:
    """Of the density over a square, by the midpoint rule."""
    width = 2 * LIMIT / CELLS
    axis = ((np.arange(CELLS) + 0.5) * width - LIMIT).astype("float32")
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    log_prob = model.predict(points, batch_size=20 * CELLS, verbose=0)
    return float(np.sum(np.exp(log_prob.astype("float64"))) * width**2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--likelihood-steps", type=int, default=2000)
    parser.add_argument("--matching-steps", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
