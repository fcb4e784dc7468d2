"""Likelihoods of red wine: ten-fold cross-validation of flows beside a Gaussian.

    python examples/red_wine.py winequality-red.csv --output red_wine.png

Each fold is standardized with its training part, a tenth of which decides when to stop. With more
than one of `--members` the density is the average of those of as many flows, each with weights and
a tenth of its own. The wine's values are rounded, and splines of the marginals put density where
they repeat: `--without-marginals` compares with models that cannot.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import Flow, FlowModel, flows
from tfp_glow.app.plots import require_matplotlib, save_figure

FEATURES, FOLDS = 11, 10
FLOWS: dict[str, Callable[..., Flow]] = {
    "RealNVP": functools.partial(flows.realnvp, FEATURES, steps=3),
    "MAF": functools.partial(flows.maf, FEATURES, steps=5),
    "coupling spline": functools.partial(flows.coupling_spline, FEATURES, steps=4),
    "spline MAF": functools.partial(flows.maf, FEATURES, steps=2, law="spline"),
}


def main() -> None:
    """Prints the table, fold by fold, and draws it."""
    options = _options()
    data = np.genfromtxt(options.data, delimiter=";", skip_header=1)[:, :FEATURES]
    results = {name: [] for name in ("Gaussian", *options.models)}
    for fold, (train, test) in enumerate(standardized_folds(data)):
        results["Gaussian"].append(gaussian(train, test))
        for name in options.models:
            build = FLOWS[name]
            if options.without_marginals:
                build = functools.partial(build, marginal_bins=None, dropout=0.1)
            seeds = range(fold, fold + FOLDS * options.members, FOLDS)
            results[name].append(likelihood(build, train, test, seeds=seeds))
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


def likelihood(
    build: Callable[..., Flow], train: np.ndarray, test: np.ndarray, *, seeds: Sequence[int]
) -> float:
    """Mean log-likelihood of the test part under the average density of flows, one a seed."""
    log_probs = [trained(build(seed=seed), train, seed=seed).log_prob(test) for seed in seeds]
    return float(tf.reduce_mean(tf.reduce_logsumexp(log_probs, axis=0)) - np.log(len(seeds)))


def trained(flow: Flow, train: np.ndarray, *, seed: int) -> Flow:
    """The flow after training with early stopping."""
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
    return flow


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
    parser.add_argument("--members", type=int, default=1, help="flows whose densities are averaged")
    parser.add_argument("--without-marginals", action="store_true")
    parser.add_argument("--output", default="red_wine.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
