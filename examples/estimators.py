"""Draws how the estimates of a residual block's log-det converge with the number of terms.

python examples/estimators.py --output estimators.png
"""

from __future__ import annotations

import argparse

import numpy as np
import tensorflow as tf

from tfp_glow.app.plots import require_matplotlib, save_figure
from tfp_glow.solvers.log_det_estimators import Exact, PowerSeries, RussianRoulette

SIZE, POINTS = 10, 16
CONSTANT = 0.9
TERMS = (1, 2, 3, 4, 6, 8, 10, 14, 20)
DISTRIBUTIONS = ("geometric", "poisson")


def main() -> None:
    """Draws the bias of the truncated series, and the deviation of every estimator."""
    options = _options()
    x = 0.5 * tf.random.stateless_normal([POINTS, SIZE], [0, 1], dtype=tf.float64)
    exact = Exact()(contraction, x, None)[1].numpy()
    print(f"exact log-det {exact.mean():.3f} nats on average")
    found = {}
    for terms in TERMS:
        estimators = {"series": PowerSeries(terms)}
        estimators |= {d: RussianRoulette(terms, distribution=d) for d in DISTRIBUTIONS}
        for name, estimator in estimators.items():
            draws = drawn(estimator, x, options.draws)
            found[name, terms] = draws
            error = np.abs(draws.mean(0) - exact).mean()
            print(f"{terms:3d} {name:10s} error {error:.4f}, deviation {draws.std(0).mean():.4f}")
    save_figure(picture(found, exact, options.draws), options.output)


def contraction(x):
    """A g whose Jacobian has eigenvalues from -CONSTANT to 0, as a block that compresses has."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((SIZE, SIZE)))[0]
    return -CONSTANT * tf.tanh(x @ rotation) @ rotation.T


def drawn(estimator, x, draws: int) -> np.ndarray:
    """Log-dets `[draws, POINTS]`, each draw with noise of its own."""
    compute = tf.function(lambda seed: estimator(contraction, x, seed)[1], autograph=False)
    return np.stack([compute(tf.constant([index, 7])) for index in range(draws)])


def picture(found: dict, exact: np.ndarray, draws: int):
    """Errors of the means beside the series' bound, and deviations of single estimates."""
    figure = require_matplotlib().Figure(figsize=(11, 4.2), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, label in (
        ("series", "truncated series"),
        ("geometric", "unbiased, geometric: noise alone"),
        ("poisson", "unbiased, Poisson: noise alone"),
    ):
        of = [found[name, terms] for terms in TERMS]
        left.plot(TERMS, [np.abs(d.mean(0) - exact).mean() for d in of], "o-", label=label)
        right.plot(TERMS, [d.std(0).mean() for d in of], "o-", label=label.split(":")[0])
    left.plot(TERMS, [bound(n) for n in TERMS], "k--", label="bound of the series' bias")
    left.set(yscale="log", title=f"error of the mean of {draws} estimates, nats")
    right.set(title="standard deviation of one estimate, nats", ylim=(0, None))
    for axes in (left, right):
        axes.set_xlabel("terms of the series, of which the unbiased ones add more at random")
        axes.grid(color="0.92")
        axes.legend(fontsize=9)
    return figure


def bound(terms: int) -> float:
    """What a series of so many terms can miss in all."""
    partial = sum(CONSTANT**k / k for k in range(1, terms + 1))
    return SIZE * (-np.log(1 - CONSTANT) - partial)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--output", default="estimators.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
