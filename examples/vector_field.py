"""Draws the vector field of FFJORD and the paths along it, without and with a penalty.

python examples/vector_field.py --output vector_field.png
"""

from __future__ import annotations

import argparse

import numpy as np
import tensorflow as tf
from densities import LIMIT, trained
from targets import TARGETS

from tfp_glow import Flow, flows
from tfp_glow.app.plots import require_matplotlib, save_figure
from tfp_glow.bijectors import ContinuousFlow

TIMES = (0.0, 0.5, 1.0)
PENALTIES = {"likelihood alone": 0.0, "kinetic penalty 0.1": 0.1}


def main() -> None:
    """Draws one row a penalty: the field and the points at three times, and the paths."""
    options = _options()
    generator = np.random.default_rng(0)
    draw = TARGETS[options.target]
    train, test = (draw(count, generator).astype("float32") for count in (20000, 5000))
    figure = require_matplotlib().Figure(figsize=(12, 6.4), dpi=100, layout="constrained")
    for row, (label, kinetic) in zip(figure.subplots(2, 4), PENALTIES.items(), strict=True):
        flow = flows.ffjord(2, hidden_units=(64, 64, 64), kinetic=kinetic, seed=0)
        model = trained(flow, train, options.epochs)
        nats = -model.evaluate(test, batch_size=len(test), verbose=0)
        paths = points_on_paths(flow, count=400, steps=40)
        print(f"{label:20s} {nats:.3f} nats, {energy(paths):.2f} kinetic energy", flush=True)
        draw_row(row, flow, paths, f"{label}: {nats:.2f} nats")
    save_figure(figure, options.output)


def field(flow: Flow) -> ContinuousFlow:
    """The continuous part of the flow; ActNorm stands between it and the data."""
    return flow.bijector.bijectors[1]


def points_on_paths(flow: Flow, *, count: int, steps: int) -> np.ndarray:
    """Positions `[steps + 1, count, 2]` from time 0 to 1, by Runge and Kutta's classical method."""
    velocity = tf.function(lambda x, time: field(flow).velocity(x, time))
    x = tf.random.stateless_normal([count, 2], [0, 1])
    points, h = [x], 1.0 / steps
    for time in np.arange(steps, dtype="float32") * h:
        k1 = velocity(x, tf.constant(time))
        k2 = velocity(x + h / 2 * k1, tf.constant(time + h / 2, tf.float32))
        k3 = velocity(x + h / 2 * k2, tf.constant(time + h / 2, tf.float32))
        k4 = velocity(x + h * k3, tf.constant(time + h, tf.float32))
        x += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        points.append(x)
    return np.stack(points)


def energy(paths: np.ndarray) -> float:
    """The mean over paths of the integral of |dx/dt|^2."""
    steps = len(paths) - 1
    return float(np.mean(np.sum((steps * np.diff(paths, axis=0)) ** 2, -1)))


def draw_row(row, flow: Flow, paths: np.ndarray, label: str) -> None:
    """Three moments of the field with the points on it, then whole paths."""
    axis = np.linspace(-LIMIT, LIMIT, 19, dtype="float32") * 0.75
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    for axes, time in zip(row, TIMES, strict=False):
        u, v = field(flow).velocity(grid, time).numpy().T
        axes.quiver(*grid.T, u, v, np.hypot(u, v), cmap="viridis", width=0.006)
        axes.scatter(*paths[round(time * (len(paths) - 1))].T, s=4, color="tab:red", alpha=0.5)
        axes.set_title(f"field at t = {time}", fontsize=11)
    row[-1].plot(*np.moveaxis(paths[:, :120], -1, 0), color="0.4", linewidth=0.6, alpha=0.6)
    row[-1].set_title("paths of 120 points", fontsize=11)
    for axes in row:
        axes.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal", xticks=[], yticks=[])
    row[0].set_ylabel(label, fontsize=11)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=TARGETS, default="two moons")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--output", default="vector_field.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
