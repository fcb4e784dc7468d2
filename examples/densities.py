"""Trains flows on distributions in the plane and draws their densities.

python examples/densities.py --output densities.png
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
import tensorflow as tf
from targets import TARGETS

from tfp_glow import Flow, FlowModel, flows
from tfp_glow.plots import density_grid, save_figure

MODELS = {
    "NICE": lambda: flows.nice(2, couplings=8, hidden_units=(128, 128), seed=0),
    "RealNVP": lambda: flows.realnvp(2, steps=8, hidden_units=(128, 128), seed=0),
    "MAF": lambda: flows.maf(2, steps=8, hidden_units=(128, 128), seed=0),
    "IAF": lambda: flows.iaf(2, steps=8, hidden_units=(128, 128), seed=0),
    "spline": lambda: flows.coupling_spline(2, steps=8, hidden_units=(128, 128), seed=0),
}
LIMIT, CELLS = 4.0, 160


def main() -> None:
    """Draws one row a target: its samples, then the density of each model."""
    options = _options()
    rows, likelihoods = [], []
    for target, draw in TARGETS.items():
        generator = np.random.default_rng(0)
        train, test = (draw(count, generator).astype("float32") for count in (20000, 5000))
        row = [np.histogram2d(*train.T, CELLS, [[-LIMIT, LIMIT]] * 2)[0].T]
        likelihoods.append([""])
        for name in options.models:
            flow = trained(MODELS[name](), train, options.epochs)
            nats = float(tf.reduce_mean(flow.log_prob(test)))
            print(f"{target:16s} {name:8s} {nats:7.3f} nats", flush=True)
            row.append(density(flow))
            likelihoods[-1].append(f"{nats:.2f} nats")
        rows.append(row)
    figure = density_grid(
        rows,
        column_labels=["data", *options.models],
        row_labels=list(TARGETS),
        captions=likelihoods,
    )
    save_figure(figure, options.output)


def trained(flow: Flow, data: np.ndarray, epochs: int) -> Flow:
    """The flow after training by maximum likelihood."""
    batch_size = 500
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(data) // batch_size)
    model = FlowModel(flow)
    model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0))
    model.fit(data, batch_size=batch_size, epochs=epochs, verbose=0)
    return flow


def density(flow: Flow) -> np.ndarray:
    """p(x) on a grid of the plane, rows from below."""
    axis = (np.arange(CELLS) + 0.5) * 2 * LIMIT / CELLS - LIMIT
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype("float32")
    log_prob = tf.function(flow.log_prob)(points)
    return np.exp(log_prob).reshape(CELLS, CELLS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--output", default="densities.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
