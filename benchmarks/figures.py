"""Published likelihoods, trained again with this package's flows.

    python -m benchmarks.figures nice_mnist --data mnist.npz --epochs 60
    python -m benchmarks.figures maf_mnist realnvp_mnist --data mnist.npz --epochs 40

`mnist.npz` holds `x_train` and `x_test` as Keras has them. The first 50,000 images train, and the
other 10,000 tell the epoch whose weights are measured. A run that was stopped goes on from its last
epoch when it is started again with the same arguments; its state lies in `--backup`.
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

KEYS = ("figure", "epochs", "seed")
PUBLISHED = {
    "nice_mnist": 1980.50,
    "nice_marginals_mnist": 1980.50,
    "realnvp_mnist": -1323.2,
    "maf_mnist": -1300.5,
}
BATCH = 250
BEST = "best.weights.h5"
SEED = 0


def main() -> None:
    """Trains and measures every figure asked for."""
    options = _options()
    for figure in options.figures:
        report("figures", [FIGURES[figure](figure, options)], keys=KEYS)


def nice_mnist(figure: str, run: argparse.Namespace) -> dict:
    """NICE in nats of x = (pixel + u) / 256."""
    options = {"base": "logistic", "marginal_bins": None, "network_dtype": "mixed_bfloat16"}
    flow = flows.nice(784, dropout=0.1, seed=SEED, **options)
    return _image_row(figure, flow, tf.identity, run, learning_rate=1e-3)


def nice_marginals_mnist(figure: str, run: argparse.Namespace) -> dict:
    """The same behind a spline that makes the marginals normal, which it has on images."""
    flow = flows.nice((28, 28, 1), seed=SEED, network_dtype="mixed_bfloat16")
    return _image_row(figure, flow, _as_image, run, learning_rate=1e-3)


def realnvp_mnist(figure: str, run: argparse.Namespace) -> dict:
    """RealNVP of six couplings in nats of logit space."""
    flow = flows.realnvp(784, steps=3, hidden_units=(1024,), marginal_bins=None, seed=SEED)
    return _image_row(figure, flow, _logit, run, learning_rate=5e-4)


def maf_mnist(figure: str, run: argparse.Namespace) -> dict:
    """MAF of five layers in nats of logit space."""
    options = {"law": "affine_exp", "marginal_bins": None}
    flow = flows.maf(784, steps=5, hidden_units=(1024,), seed=SEED, **options)
    return _image_row(figure, flow, _logit, run, learning_rate=5e-4)


def _image_row(figure: str, flow: Flow, transform, run, *, learning_rate: float) -> dict:
    """Trains with new noise in every epoch; ten draws of noise for the test images."""
    keras.utils.set_random_seed(SEED)
    train, validation, test = _mnist(run.data)
    steps = run.epochs * (len(train) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 1000, warmup_target=learning_rate, warmup_steps=1000
    )
    model = FlowModel(flow)
    model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0))
    flow.initialize(next(iter(_dequantized(train[:2000], transform, batch=2000))))
    folder = run.backup / figure
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    model.fit(
        _dequantized(train, transform, shuffle=True),
        validation_data=_dequantized(validation, transform),
        epochs=run.epochs,
        callbacks=_keeping(folder),
        verbose=2,
    )
    seconds = time.perf_counter() - start
    model.load_weights(folder / BEST)
    draws = [-model.evaluate(_dequantized(test, transform), verbose=0) for _ in range(10)]
    return _row(figure, np.mean(draws), seconds, run.epochs, model)


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


def _row(figure: str, nats: float, seconds: float, epochs: int, model: FlowModel) -> dict:
    return {
        "figure": figure,
        "nats": float(nats),
        "published": PUBLISHED[figure],
        "difference": float(nats - PUBLISHED[figure]),
        "parameters": model.count_params(),
        "epochs": epochs,
        "seed": SEED,
        "seconds": seconds,
    }


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
    parser.add_argument("--backup", type=pathlib.Path, default=pathlib.Path("backup"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
