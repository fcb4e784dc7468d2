"""Posteriors and priors of a variational autoencoder on binary MNIST, at equal steps.

    python -m benchmarks.vae --data mnist.npz

Pixels are made 0 or 1 by x > 127. Encoder and decoder have one hidden layer of 300 units, there are
40 latents, and the parameters of the posterior's flow are affine maps of the encoder's hidden
layer. Reports minus the evidence lower bound of all test images, one sample for each, and minus
log p(x) of the first ones by importance sampling. One core. `mnist.npz` holds `x_train` and
`x_test` as Keras has them.
"""

from __future__ import annotations

import argparse
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.common import report
from tfp_glow import VAE, flows

KEYS = ("model", "train_steps", "warmup_steps", "learning_rate", "seed")
PIXELS, HIDDEN, LATENTS, BATCH = 784, 300, 40, 100
OPTIONS = {"condition_size": HIDDEN}


def main() -> None:
    """Trains and measures every model asked for."""
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with np.load(options.data) as file:
        train, test = ((file[f"x_{part}"] > 127).reshape(-1, PIXELS) for part in ("train", "test"))
    for name in options.models:
        report("vae", [measure(name, train, test, options)], keys=KEYS)


def measure(name: str, train: np.ndarray, test: np.ndarray, options: argparse.Namespace) -> dict:
    """One row: the trained model on the test images."""
    keras.utils.set_random_seed(options.seed)
    posterior, prior = MODELS[name](options.seed)
    model = VAE(
        keras.Sequential([keras.Input([PIXELS]), keras.layers.Dense(HIDDEN, "relu")]),
        keras.Sequential(
            [
                keras.Input([LATENTS]),
                keras.layers.Dense(HIDDEN, "relu"),
                keras.layers.Dense(PIXELS),
            ]
        ),
        posterior=posterior,
        prior=prior,
        warmup_steps=options.warmup_steps,
        seed=options.seed,
    )
    schedule = keras.optimizers.schedules.CosineDecay(options.learning_rate, options.steps)
    model.compile(keras.optimizers.Adam(schedule), jit_compile=False)
    clocks = time.perf_counter, time.process_time
    starts = [clock() for clock in clocks]
    _fit(model, train, options, options.backup / name)
    seconds, cpu_seconds = (clock() - start for clock, start in zip(clocks, starts, strict=True))
    results = model.evaluate(test, batch_size=BATCH, return_dict=True, verbose=0)
    start = time.process_time()
    log_prob = model.importance_weighted_bound(test[: options.images], options.samples)
    return {
        "model": name,
        "elbo": -results["nats"],
        "kl": results["kl"],
        "log_prob": float(np.mean(log_prob)),
        "elbo_of_images": float(np.mean(model.predict(test[: options.images], verbose=0))),
        "images": options.images,
        "samples": options.samples,
        "parameters": model.count_params(),
        "train_steps": options.steps,
        "warmup_steps": options.warmup_steps,
        "learning_rate": options.learning_rate,
        "seed": options.seed,
        "train_seconds": seconds,
        "train_cpu_seconds": cpu_seconds,
        "importance_cpu_seconds": time.process_time() - start,
    }


def _fit(model: VAE, train: np.ndarray, options: argparse.Namespace, folder: pathlib.Path) -> None:
    """Trains in parts of 1000 steps, from which a run that was ended goes on."""
    model.fit(
        tf.data.Dataset.from_tensor_slices(train)
        .shuffle(len(train), seed=options.seed)
        .repeat()
        .batch(BATCH)
        .prefetch(2),
        steps_per_epoch=1000,
        epochs=options.steps // 1000,
        callbacks=[keras.callbacks.BackupAndRestore(folder)],
        verbose=2,
    )


def gaussian(seed: int) -> tuple:
    """The plain autoencoder."""
    return flows.gaussian(LATENTS, seed=seed, **OPTIONS), None


def planar(seed: int) -> tuple:
    """16 planar transformations."""
    flow = flows.planar(LATENTS, steps=16, hidden_units=(), seed=seed, **OPTIONS)
    return flows.gaussian_base(flow, seed=seed), None


def iaf(seed: int) -> tuple:
    """4 inverse autoregressive layers of 320 units."""
    flow = flows.iaf(LATENTS, steps=4, hidden_units=(320,), seed=seed, **OPTIONS)
    return flows.gaussian_base(flow, seed=seed), None


def iaf_16(seed: int) -> tuple:
    """16 inverse autoregressive layers of 320 units."""
    flow = flows.iaf(LATENTS, steps=16, hidden_units=(320,), seed=seed, **OPTIONS)
    return flows.gaussian_base(flow, seed=seed), None


def sylvester(seed: int) -> tuple:
    """4 Sylvester transformations in 8 orthogonal directions."""
    flow = flows.sylvester(LATENTS, steps=4, directions=8, hidden_units=(), seed=seed, **OPTIONS)
    return flows.gaussian_base(flow, seed=seed), None


def realnvp_prior(seed: int) -> tuple:
    """A normal posterior with RealNVP as the prior."""
    prior = flows.realnvp(LATENTS, steps=4, hidden_units=(128,), marginal_bins=None, seed=seed)
    return flows.gaussian(LATENTS, seed=seed, **OPTIONS), prior


MODELS = {
    function.__name__: function
    for function in (gaussian, planar, iaf, iaf_16, sylvester, realnvp_prior)
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), help=", ".join(MODELS))
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--warmup-steps", type=int, default=5_000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backup", type=pathlib.Path, default=pathlib.Path("backup"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
