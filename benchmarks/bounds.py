"""Bounds of the digits' likelihood: uniform and variational noise, importance weights, laws.

    python -m benchmarks.bounds --epochs 20 --seeds 1

Glow of two levels of four steps is trained for as many steps with each noise and each law, by
Adamax along a cosine with weight decay 0.3, on one thread. Test bits per dimension are those of
1, 8 and 64 samples of the noise; a row has the mean of the seeds.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time

import keras
import tensorflow as tf

from benchmarks.common import report
from tfp_glow import Dequantized, FlowModel, flows
from tfp_glow.app.generation import mean_bits_per_dim
from tfp_glow.data import ImageData, load_images

__all__ = ["main"]

NOISES, LAWS = ("uniform", "variational"), ("affine_softsign", "logistic_mixture")
SAMPLES = (1, 8, 64)


def main() -> None:
    """Trains each noise with each law, and reports the bounds."""
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for law, noise in itertools.product(options.laws, options.noises):
        runs = [_run(law, noise, options.epochs, seed) for seed in range(options.seeds)]
        row = {name: statistics.mean(run[name] for run in runs) for name in runs[0]}
        row = {"law": law, "noise": noise, "epochs": options.epochs, **row, "seeds": len(runs)}
        report("bounds", [row], keys=("law", "noise", "epochs"))


def _run(law: str, noise: str, epochs: int, seed: int) -> dict:
    data = load_images("digits", seed=seed)
    distribution = _distribution(data, law, noise, seed)
    start = time.process_time()
    steps = epochs * len(list(data.train))
    model = FlowModel(distribution, seed=seed)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=1e-2, warmup_steps=steps // 20
    )
    model.compile(keras.optimizers.Adamax(schedule, weight_decay=0.3, global_clipnorm=1.0))
    model.fit(data.train, epochs=epochs, verbose=0)
    seconds = time.process_time() - start
    bits = {
        f"bits_{count}": mean_bits_per_dim(distribution, data.test, num_samples=count, seed=seed)
        for count in SAMPLES
    }
    parameters = sum(int(tf.size(v)) for v in distribution.trainable_variables)
    return {**bits, "cpu_s": seconds, "parameters": parameters}


def _distribution(data: ImageData, law: str, noise: str, seed: int) -> Dequantized:
    shape = data.image_shape
    flow = flows.glow(shape, levels=2, steps=4, hidden_channels=32, law=law, seed=seed)
    variational = flows.dequantization_noise(shape, seed=seed) if noise == "variational" else None
    return Dequantized(flow, data.num_bins, noise=variational)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--laws", nargs="+", choices=LAWS, default=list(LAWS))
    parser.add_argument("--noises", nargs="+", choices=NOISES, default=list(NOISES))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
