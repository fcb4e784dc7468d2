"""What networks in bfloat16 cost: bits/dim after equal training, and the error of inversion.

    python -m benchmarks.precision --data mnist.npz --epochs 3

Trains one Glow for each precision from equal weights on equal batches. The file is one that
`tfp-glow train --data` takes.
"""

from __future__ import annotations

import argparse
import functools
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.common import report
from tfp_glow import Dequantized, FlowModel, flows
from tfp_glow.data import ImageData, load_images

KEYS = ("variant", "levels", "steps", "width", "epochs", "learning_rate")
VARIANTS = {
    "float32": {"network_dtype": "float32"},
    "bfloat16": {"network_dtype": "mixed_bfloat16"},
    "bfloat16 reversible": {"network_dtype": "mixed_bfloat16", "reversible": True},
}


def main() -> None:
    """Trains and measures every variant asked for."""
    options = _options()
    for variant in options.variants:
        keras.utils.set_random_seed(0)
        data = load_images(options.data, batch_size=64)
        report("precision", [measure(variant, data, options)], keys=KEYS)


def measure(variant: str, data: ImageData, options: argparse.Namespace) -> dict:
    """One row: the trained model on the test images."""
    flow = flows.glow(
        data.image_shape,
        levels=options.levels,
        steps=options.steps,
        hidden_channels=options.width,
        seed=0,
        **VARIANTS[variant],
    )
    model = FlowModel(Dequantized(flow, num_bins=data.num_bins))
    model.compile(keras.optimizers.Adamax(options.learning_rate))
    start = time.perf_counter()
    model.fit(data.train, epochs=options.epochs, verbose=2)
    seconds = time.perf_counter() - start
    bits = model.evaluate(data.test, return_dict=True, verbose=0)["bits_per_dim"]
    errors = inversion_errors(flow, data)
    return {
        "variant": variant,
        **{name: getattr(options, name) for name in KEYS[1:]},
        "seconds": seconds,
        "test_bits_per_dim": bits,
        "median_error": float(np.median(errors)),
        "max_error": float(errors.max()),
    }


def inversion_errors(flow, data: ImageData) -> np.ndarray:
    """The largest |decode(encode(x)) - x| of each of the first test images, x in [-0.5, 0.5]."""

    @functools.partial(tf.function, reduce_retracing=True)
    def error(images):
        x = (tf.cast(images, flow.dtype) + 0.5) / data.num_bins - 0.5
        return tf.reduce_max(tf.abs(flow.decode(tf.identity(flow.encode(x))) - x), [1, 2, 3])

    return np.concatenate([error(images) for images in data.test.take(16)])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="an .npz file of images")
    parser.add_argument("--levels", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
