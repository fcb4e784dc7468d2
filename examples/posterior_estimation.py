"""Learns a posterior from simulations alone, and draws whether it is as sure as it should be.

python examples/posterior_estimation.py --output posterior_estimation.png
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
import scipy.stats
from simulators import SIMULATORS, Simulator

from tfp_glow import Flow, FlowModel, flows
from tfp_glow.app.plots import require_matplotlib, save_figure
from tfp_glow.inference import calibration_ranks, credibility_levels

SAMPLES, RANKS, BATCH = 2000, 99, 256


def main() -> None:
    """Draws the true and the learned posterior, histograms of ranks, and the coverage."""
    options = _options()
    simulator, generator = SIMULATORS[options.task](), np.random.default_rng(0)
    flow = learned(simulator, options, generator)
    x, y = simulated(simulator, 2000, generator)
    ranks = calibration_ranks(flow, x, y, num_samples=RANKS, seed=1)
    levels = credibility_levels(flow, x, y, num_samples=RANKS, seed=2)
    for index, column in enumerate(ranks.T):
        p_value = scipy.stats.chisquare(np.histogram(column, 20, (0, RANKS + 1))[0]).pvalue
        print(f"parameter {index}: ranks uniform with p = {p_value:.3f}", flush=True)
    figure = require_matplotlib().Figure(figsize=(14, 3.6), dpi=100, layout="constrained")
    axes = figure.subplots(1, 4)
    draw_posteriors(axes[:2], simulator, flow, generator)
    draw_ranks(axes[2], ranks)
    draw_coverage(axes[3], levels)
    save_figure(figure, options.output)


def simulated(simulator: Simulator, count: int, generator) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and observations in float32."""
    return tuple(part.astype("float32") for part in simulator.draw(count, generator))


def learned(simulator: Simulator, options: argparse.Namespace, generator) -> Flow:
    """Neural posterior estimation, with a network that reads the observation."""
    x, y = simulated(simulator, options.simulations, generator)
    summary = keras.Sequential(
        [keras.layers.Dense(64, "relu"), keras.layers.Dense(64, "relu"), keras.layers.Dense(8)]
    )
    flow = flows.maf(simulator.size, law="spline", condition_size=8, seed=0)
    flow = flows.conditioned(flow, summary, condition_shape=simulator.size)
    steps = options.epochs * len(x) // BATCH
    model = FlowModel(flow, seed=0)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)))
    model.fit(x, y, batch_size=BATCH, epochs=options.epochs, verbose=2)
    return flow


def draw_posteriors(axes, simulator: Simulator, flow: Flow, generator) -> None:
    """Samples of the first two parameters given one observation, the true ones and the flow's."""
    x, y = simulated(simulator, 100, generator)
    observed = y[simulator.well_known(x)][0]
    true = simulator.posterior(np.tile(observed, (SAMPLES, 1)), generator)
    samples = flow.sample(SAMPLES, condition=observed, seed=3).numpy()
    for axis, points, title in zip(axes, (true, samples), ("posterior", "flow"), strict=True):
        axis.scatter(*points[:, :2].T, s=2)
        axis.set(title=title, xlim=axes[0].get_xlim(), ylim=axes[0].get_ylim())


def draw_ranks(axis, ranks: np.ndarray) -> None:
    """Histograms of the ranks, and where nine in ten bars of uniform ranks end."""
    for column in ranks.T:
        axis.hist(column, 20, range=(0, RANKS + 1), histtype="step")
    axis.axhspan(*scipy.stats.binom(len(ranks), 1 / 20).interval(0.9), color="0.9")
    axis.set(title="ranks of the true parameters", xlabel="rank")


def draw_coverage(axis, levels: np.ndarray) -> None:
    """How often the credible regions of each level hold the true parameters."""
    axis.plot([0, 1], [0, 1], color="0.7")
    axis.plot(np.sort(levels), np.arange(1, len(levels) + 1) / len(levels))
    axis.set(title="coverage", xlabel="credibility", ylabel="share of true parameters inside")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=SIMULATORS, default="two moons")
    parser.add_argument("--simulations", type=int, default=50_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", default="posterior_estimation.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
