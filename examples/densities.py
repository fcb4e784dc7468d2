"""Trains flows on distributions in the plane and draws their densities.

python examples/densities.py --output densities.png
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
from targets import TARGETS

from tfp_glow import Flow, FlowModel, flows
from tfp_glow.app.density_plots import density_grid
from tfp_glow.app.plots import save_figure

DENSE = {"hidden_units": (128, 128), "seed": 0}
MODELS = {
    "NICE": lambda: flows.nice(2, couplings=8, **DENSE),
    "RealNVP": lambda: flows.realnvp(2, steps=8, **DENSE),
    "MAF": lambda: flows.maf(2, steps=8, **DENSE),
    "IAF": lambda: flows.iaf(2, steps=8, **DENSE),
    "spline": lambda: flows.coupling_spline(2, steps=8, **DENSE),
    "planar": lambda: flows.planar(2, steps=32, seed=0),
    "radial": lambda: flows.radial(2, steps=32, seed=0),
    "Sylvester": lambda: flows.sylvester(2, steps=16, seed=0),
    "i-ResNet": lambda: flows.iresnet(2, steps=16, exact=True, **DENSE),
    "Residual Flow": lambda: flows.residual_flow(2, steps=16, **DENSE),
    "FFJORD": lambda: flows.ffjord(2, hidden_units=(64, 64, 64), seed=0),
}
# A continuous flow takes ten times as long for an epoch, and fewer of them.
EPOCHS = {"FFJORD": 4}
LIMIT, CELLS = 4.0, 160


def main() -> None:
    """Draws one row a target: its samples, then the density of each model."""
    options = _options()
    rows, likelihoods = [], []
    for target in options.targets:
        generator = np.random.default_rng(0)
        train, test = (
            TARGETS[target](count, generator).astype("float32") for count in (20000, 5000)
        )
        row = [np.histogram2d(*train.T, CELLS, [[-LIMIT, LIMIT]] * 2)[0].T]
        likelihoods.append([""])
        for name in options.models:
            model = trained(MODELS[name](), train, EPOCHS.get(name, options.epochs))
            nats = -model.evaluate(test, batch_size=len(test), verbose=0)
            print(f"{target:16s} {name:10s} {nats:7.3f} nats", flush=True)
            row.append(density(model))
            likelihoods[-1].append(f"{nats:.2f} nats")
        rows.append(row)
    figure = density_grid(
        rows,
        column_labels=["data", *options.models],
        row_labels=options.targets,
        captions=likelihoods,
    )
    save_figure(figure, options.output)


def trained(flow: Flow, data: np.ndarray, epochs: int) -> FlowModel:
    """A model after training by maximum likelihood."""
    keras.utils.set_random_seed(0)
    batch_size = 500
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(data) // batch_size)
    model = FlowModel(flow)
    model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0))
    model.fit(data, batch_size=batch_size, epochs=epochs, verbose=0)
    return model


def density(model: FlowModel) -> np.ndarray:
    """p(x) on a grid of the plane, rows from below."""
    axis = (np.arange(CELLS) + 0.5) * 2 * LIMIT / CELLS - LIMIT
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype("float32")
    log_prob = model.predict(points, batch_size=CELLS * 20, verbose=0)
    return np.exp(log_prob).reshape(CELLS, CELLS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", default="densities.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
