"""Likelihoods of red wine: ten-fold cross-validation of flows beside a Gaussian.

    python examples/red_wine.py winequality-red.csv --output red_wine.png

Each fold is standardized with its training part, a tenth of which decides when to stop.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import Flow, FlowModel, flows
from tfp_glow.app.plots import require_matplotlib, save_figure

FEATURES, FOLDS = 11, 10
OPTIONS = {"hidden_units": (64, 64), "seed": 0}
FLOWS: dict[str, Callable[[], Flow]] = {
    "RealNVP": lambda: flows.realnvp(FEATURES, steps=3, **OPTIONS),
    "MAF": lambda: flows.maf(FEATURES, steps=5, **OPTIONS),
    "coupling spline": lambda: flows.coupling_spline(FEATURES, steps=4, **OPTIONS),
    "spline MAF": lambda: flows.maf(FEATURES, steps=2, law="spline", **OPTIONS),
}


def main() -> None:
    """Prints the table, fold by fold, and draws it."""
    options = _options()
    data = np.genfromtxt(options.data, delimiter=";", skip_header=1)[:, :FEATURES]
    results = {name: [] for name in ("Gaussian", *options.models)}
    for fold, (train, test) in enumerate(standardized_folds(data)):
        results["Gaussian"].append(gaussian(train, test))
        for name in options.models:
            results[name].append(likelihood(FLOWS[name](), train, test, seed=fold))
        last = {name: round(nats[-1], 2) for name, nats in results.items()}
        print(f"fold {fold + 1}: {last}", flush=True)
    print("\nmean test log-likelihood in nats, and its standard error over the folds")
    for name, nats in results.items():
        print(f"{name:16s} {np.mean(nats):7.2f} +- {np.std(nats) / np.sqrt(FOLDS):.2f}")
    save_figure(bars(results), options.output)


def standardized_folds(data: np.ndarray):
    """Training and test parts, with the mean and deviation of the training part."""
    order = np.random.default_rng(0).permutation(len(data))
    for test in np.array_split(order, FOLDS):
        train = np.setdiff1d(order, test)
        mean, std = data[train].mean(0), data[train].std(0)
        yield tuple(((data[part] - mean) / std).astype("float32") for part in (train, test))


def gaussian(train: np.ndarray, test: np.ndarray) -> float:
    """Mean log-likelihood under a Gaussian of full covariance."""
    factor = np.linalg.cholesky(np.cov(train.T))
    whitened = np.linalg.solve(factor, (test - train.mean(0)).T)
    log_det = np.log(np.diag(factor)).sum()
    return float(np.mean(-0.5 * (whitened**2).sum(0)) - log_det - 5.5 * np.log(2 * np.pi))


def likelihood(flow: Flow, train: np.ndarray, test: np.ndarray, *, seed: int) -> float:
    """Mean log-likelihood of the test part after training with early stopping."""
    keras.utils.set_random_seed(seed)
    held_out = len(train) // 10
    train = np.random.default_rng(seed).permutation(train)
    model = FlowModel(flow)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.1, clipnorm=1.0))
    stop = keras.callbacks.EarlyStopping(patience=30, restore_best_weights=True)
    model.fit(
        train[held_out:],
        validation_data=(train[:held_out],),
        batch_size=100,
        epochs=500,
        callbacks=[stop],
        verbose=0,
    )
    return float(tf.reduce_mean(flow.log_prob(test)))


def bars(results: dict[str, list[float]]):
    """The table as a picture."""
    figure = require_matplotlib().Figure(figsize=(7, 3), dpi=100, layout="constrained")
    axes = figure.subplots()
    means = [np.mean(nats) for nats in results.values()]
    errors = [np.std(nats) / np.sqrt(FOLDS) for nats in results.values()]
    axes.errorbar(means, list(results), xerr=errors, fmt="o", capsize=4)
    axes.invert_yaxis()
    axes.set_title("Red wine: mean test log-likelihood, nats", fontsize=12, loc="left")
    axes.grid(axis="x", color="0.9")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="winequality-red.csv of UCI")
    parser.add_argument("--models", nargs="+", choices=FLOWS, default=list(FLOWS))
    parser.add_argument("--output", default="red_wine.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
