"""Draws what flow matching learns: points on their way from noise to data, and the density.

python examples/flow_matching.py --output flow_matching.png
"""

from __future__ import annotations

import argparse
import time

import keras
import numpy as np
import tensorflow as tf
from densities import CELLS, LIMIT, density
from targets import TARGETS
from vector_field import TIMES, points_on_paths

from tfp_glow import FlowModel, flows
from tfp_glow.app.plots import require_matplotlib, save_figure

ROWS = (
    ("two moons", "flow_matching"),
    ("two moons", "ot_flow_matching"),
    ("checkerboard", "ot_flow_matching"),
    ("eight Gaussians", "ot_flow_matching"),
)
PAIRS = {"flow_matching": "independent pairs", "ot_flow_matching": "nearby pairs"}
BATCH = 500


def main() -> None:
    """Draws one row a target and a pairing: paths, points at three times and the density."""
    options = _options()
    figure = require_matplotlib().Figure(figsize=(12.5, 10.5), dpi=80, layout="constrained")
    for row, (target, loss) in zip(figure.subplots(len(ROWS), 5), ROWS, strict=True):
        generator = np.random.default_rng(0)
        data, test = (TARGETS[target](n, generator).astype("float32") for n in (20_000, 5000))
        start = time.process_time()
        model = trained(data, loss, options.steps)
        seconds = time.process_time() - start
        nats = -np.mean(model.predict(test, batch_size=BATCH, verbose=0))
        print(f"{target:16s} {PAIRS[loss]:18s} {nats:.3f} nats, {seconds:.0f} s", flush=True)
        draw_row(row, model, f"{target}: {nats:.2f} nats\n{PAIRS[loss]}")
    save_figure(figure, options.output)


def trained(data: np.ndarray, loss: str, steps: int) -> FlowModel:
    """A continuous flow after so many steps, none of which solves a path."""
    model = FlowModel(flows.ffjord(2, hidden_units=(64, 64, 64), seed=0), loss=loss, seed=0)
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, steps)
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0), jit_compile=True)
    model.fit(data, batch_size=BATCH, epochs=steps * BATCH // len(data), verbose=0)
    return model


def draw_row(row, model: FlowModel, label: str) -> None:
    """The paths of 150 points, 1500 points at three times, and p(x)."""
    flow = model.distribution
    paths = points_on_paths(flow, count=1500, steps=40)
    # From the field's values to the data's.
    act_norm = flow.bijector.bijectors[0]
    paths = np.stack([act_norm.forward(tf.constant(points)) for points in paths])
    row[0].plot(*np.moveaxis(paths[:, :150], -1, 0), color="0.4", linewidth=0.6, alpha=0.6)
    row[0].set_title(label, fontsize=9)
    for axes, moment in zip(row[1:4], TIMES, strict=True):
        axes.scatter(*paths[round(moment * (len(paths) - 1))].T, s=3, color="tab:blue", alpha=0.5)
        axes.set_title(f"t = {moment}", fontsize=9)
    values = density(model).reshape(CELLS, CELLS)
    row[4].imshow(values, origin="lower", extent=(-LIMIT, LIMIT) * 2, cmap="viridis")
    row[4].set_title("density", fontsize=9)
    for axes in row:
        axes.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal", xticks=[], yticks=[])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--output", default="flow_matching.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
