"""Published likelihoods, trained again with this package's flows.

    python -m benchmarks.figures maf_mnist realnvp_mnist --data mnist.npz --epochs 40
    python -m benchmarks.figures nice_mnist --data mnist.npz --dropout 0.1 --backup first
    python -m benchmarks.figures nice_mnist --data mnist.npz --dropout 0.1 --seed 1 --backup second
    python -m benchmarks.figures nice_mnist --data mnist.npz --dropout 0.1 --members first second

`mnist.npz` holds `x_train` and `x_test` as Keras has them. The first 50,000 images train, and the
other 10,000 tell the epoch whose weights are measured. A run that was stopped goes on from its last
epoch when it is started again with the same arguments; its state lies in `--backup`. With
`--members` nothing is trained: the mean of the densities of flows trained before is measured.
"""

from __future__ import annotations

import argparse
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.common import report
from tfp_glow import Flow, FlowModel, flows
from tfp_glow.bijectors import Logit

KEYS = ("figure", "epochs", "seed", "dropout", "members")
PUBLISHED = {
    "nice_mnist": 1980.50,
    "nice_marginals_mnist": 1980.50,
    "realnvp_mnist": -1323.2,
    "maf_mnist": -1300.5,
}
BATCH, DRAWS = 250, 10
BEST = "best.weights.h5"


def main() -> None:
    """Trains and measures every figure asked for."""
    options = _options()
    for figure in options.figures:
        report("figures", [FIGURES[figure](figure, options)], keys=KEYS)


def nice_mnist(figure: str, run: argparse.Namespace) -> dict:
    """NICE in nats of x = (pixel + u) / 256."""
    options = {"base": "logistic", "marginal_bins": None, "network_dtype": "mixed_bfloat16"}
    flow = flows.nice(784, dropout=run.dropout, seed=run.seed, **options)
    return _image_row(figure, flow, tf.identity, run, learning_rate=1e-3)


def nice_marginals_mnist(figure: str, run: argparse.Namespace) -> dict:
    """The same behind a spline that makes the marginals normal, which it has on images."""
    options = {"network_dtype": "mixed_bfloat16"}
    flow = flows.nice((28, 28, 1), dropout=run.dropout, seed=run.seed, **options)
    return _image_row(figure, flow, _as_image, run, learning_rate=1e-3)


def realnvp_mnist(figure: str, run: argparse.Namespace) -> dict:
    """RealNVP of six couplings in nats of logit space."""
    options = {"marginal_bins": None, "dropout": run.dropout, "seed": run.seed}
    flow = flows.realnvp(784, steps=3, hidden_units=(1024,), **options)
    return _image_row(figure, flow, _logit, run, learning_rate=5e-4)


def maf_mnist(figure: str, run: argparse.Namespace) -> dict:
    """MAF of five layers in nats of logit space."""
    options = {"marginal_bins": None, "dropout": run.dropout, "seed": run.seed}
    flow = flows.maf(784, steps=5, hidden_units=(1024,), law="affine_exp", **options)
    return _image_row(figure, flow, _logit, run, learning_rate=5e-4)


def _image_row(figure: str, flow: Flow, transform, run, *, learning_rate: float) -> dict:
    """Trains with new noise in every epoch, or reads what was trained, and measures it."""
    train, validation, test = _mnist(run.data)
    model, training = FlowModel(flow), {}
    if not run.members:
        schedule = _schedule(learning_rate, run.epochs * (len(train) // BATCH))
        model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0))
        start = time.perf_counter()
        _train(model, train, validation, transform, run, run.backup / figure)
        seconds = time.perf_counter() - start
        training = {"epochs": run.epochs, "seed": run.seed, "seconds": seconds}
    folders = [folder / figure for folder in run.members or [run.backup]]
    nats = float(_log_likelihood(model, folders, test, transform))
    return {
        "figure": figure,
        "nats": nats,
        "published": PUBLISHED[figure],
        "difference": nats - PUBLISHED[figure],
        "parameters": model.count_params() * len(folders),
        "dropout": run.dropout,
        "members": [folder.name for folder in run.members],
        **training,
    }


def _schedule(learning_rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - 1000, warmup_target=learning_rate, warmup_steps=1000
    )


def _train(model: FlowModel, train, validation, transform, run, folder: pathlib.Path) -> None:
    keras.utils.set_random_seed(run.seed)
    model.initialize(next(iter(_dequantized(train[:2000], transform, batch=2000))))
    folder.mkdir(parents=True, exist_ok=True)
    model.fit(
        _dequantized(train, transform, shuffle=True),
        validation_data=_dequantized(validation, transform),
        epochs=run.epochs,
        callbacks=_keeping(folder),
        verbose=2,
    )


def _log_likelihood(model: FlowModel, folders: list[pathlib.Path], images, transform) -> float:
    """The mean over the images, and draws of their noise, of the log of the mean density."""

    def log_probs(folder: pathlib.Path) -> list[np.ndarray]:
        model.load_weights(folder / BEST)
        return [
            model.predict(_noisy(images, transform, draw), batch_size=BATCH, verbose=0)
            for draw in range(DRAWS)
        ]

    members = np.array([log_probs(folder) for folder in folders], "float64")
    return (np.logaddexp.reduce(members) - np.log(len(members))).mean()


def _noisy(images: np.ndarray, transform, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).random(images.shape, "float32")
    return transform((images + noise) / np.float32(256))


def _keeping(folder: pathlib.Path) -> list[keras.callbacks.Callback]:
    """What keeps the state to go on from, the losses, and the weights of the best epoch so far."""
    history = folder / "history.csv"
    best = None
    if history.exists() and (folder / BEST).exists():
        best = np.genfromtxt(history, delimiter=",", names=True)["val_loss"].min()
    return [
        keras.callbacks.ModelCheckpoint(
            folder / BEST,
            monitor="val_loss",
            save_best_only=True,
            save_weights_only=True,
            initial_value_threshold=best,
        ),
        keras.callbacks.CSVLogger(history, append=True),
        keras.callbacks.BackupAndRestore(folder / "state"),
    ]


def _mnist(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training, validation and test images."""
    with np.load(path) as file:
        train, test = (file[name].reshape(-1, 784) for name in ("x_train", "x_test"))
    return train[:50_000], train[50_000:], test


def _dequantized(images: np.ndarray, transform, *, shuffle: bool = False, batch: int = BATCH):
    """Batches of transform((pixel + u) / 256), with new u at every pass."""
    data = tf.data.Dataset.from_tensor_slices(images)
    if shuffle:
        data = data.shuffle(len(images))

    def noisy(pixels):
        pixels = tf.cast(pixels, tf.float32)
        return transform((pixels + tf.random.uniform(tf.shape(pixels))) / 256.0)

    return data.batch(batch, drop_remainder=shuffle).map(noisy).prefetch(2)


def _logit(x):
    return Logit(1e-6).inverse(x)


def _as_image(x):
    return tf.reshape(x, [-1, 28, 28, 1])


FIGURES = {
    "nice_mnist": nice_mnist,
    "nice_marginals_mnist": nice_marginals_mnist,
    "realnvp_mnist": realnvp_mnist,
    "maf_mnist": maf_mnist,
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="+", choices=FIGURES)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--backup", type=pathlib.Path, default=pathlib.Path("backup"))
    parser.add_argument("--members", type=pathlib.Path, nargs="*", default=[], help="their backups")
    return parser.parse_args()


if __name__ == "__main__":
    main()
