"""What classes cost a density, and a density classes: one flow, trained with several weights.

    python -m benchmarks.hybrid --data mnist.npz

Trains Glow by itself (`density`) and as a `FlowClassifier` of each likelihood weight, from equal
weights on equal batches, on one core. Two heads: `levels`, the package's own, which averages over
places, and `convolutions`, a small network that does not. `mnist.npz` holds `x_train`, `y_train`,
`x_test` and `y_test` as Keras has them.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import time
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from benchmarks.common import report
from tfp_glow import Dequantized, FlowClassifier, FlowModel, flows
from tfp_glow.distribution_model import DistributionModel
from tfp_glow.networks import LevelClassifier

KEYS = ("weight", "head", "levels", "steps", "width", "epochs", "learning_rate", "seed")
IMAGE_SHAPE, NUM_CLASSES, BATCH = (28, 28, 1), 10, 64
DIMENSIONS = 784
WEIGHTS = {"0": 0.0, "1/D": 1 / DIMENSIONS, "10/D": 10 / DIMENSIONS, "1": 1.0}


def main() -> None:
    """Trains and measures every weight asked for."""
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with np.load(options.data) as file:
        train, test = ((file[f"x_{part}"], file[f"y_{part}"]) for part in ("train", "test"))
    train, test = ((x[..., np.newaxis], y.astype("int32")) for x, y in (train, test))
    for weight in options.weights:
        for head in options.heads if weight != "density" else [None]:
            report("hybrid", [measure(weight, head, train, test, options)], keys=KEYS)


def measure(
    weight: str, head: str | None, train: tuple, test: tuple, options: argparse.Namespace
) -> dict:
    """One row: the trained model on the test images."""
    keras.utils.set_random_seed(options.seed)
    model = build(weight, head, options)
    batches = len(train[0]) // BATCH
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        options.epochs * batches - 200,
        warmup_target=options.learning_rate,
        warmup_steps=200,
    )
    # Its steps do not depend on the loss's scale, which grows with the weight.
    model.compile(keras.optimizers.Adamax(schedule), jit_compile=False)
    targets = head is not None
    clocks = time.perf_counter, time.process_time
    starts = [clock() for clock in clocks]
    model.fit(_batched(train, targets, shuffle=True), epochs=options.epochs, verbose=2)
    seconds, cpu_seconds = (clock() - start for clock, start in zip(clocks, starts, strict=True))
    results = model.evaluate(_batched(test, targets), return_dict=True, verbose=0)
    return {
        "weight": weight,
        "head": head,
        **{name: getattr(options, name) for name in KEYS[2:]},
        "accuracy": results.get("accuracy"),
        "bits_per_dim": results["bits_per_dim"],
        "parameters": model.count_params(),
        "train_steps": options.epochs * batches,
        "train_seconds": seconds,
        "train_cpu_seconds": cpu_seconds,
    }


def build(weight: str, head: str | None, options: argparse.Namespace) -> DistributionModel:
    """The untrained model."""
    flow = flows.glow(
        IMAGE_SHAPE,
        levels=options.levels,
        steps=options.steps,
        hidden_channels=options.width,
        seed=options.seed,
    )
    distribution = Dequantized(flow, num_bins=256)
    if weight == "density":
        return FlowModel(distribution, seed=options.seed)
    network = HEADS[head](flow.bijector.level_shapes, options.seed)
    return FlowClassifier(
        distribution,
        NUM_CLASSES,
        likelihood_weight=WEIGHTS[weight],
        head=network,
        seed=options.seed,
    )


def levels_head(shapes: Sequence[tuple], seed: int) -> keras.layers.Layer:
    """The head that `FlowClassifier` has by itself, with the paper's number of channels."""
    return LevelClassifier(NUM_CLASSES, level_shapes=shapes, hidden_channels=256, seed=seed)


def convolutions_head(shapes: Sequence[tuple], seed: int) -> keras.Model:
    """A convolution of each level, one of all of them at the coarsest level's size, two dense."""
    layers = keras.layers
    sizes = [math.prod(shape) for shape in shapes]
    z = keras.Input([sum(sizes)])
    images, start = [], 0
    for level, (shape, size) in enumerate(zip(shapes, sizes, strict=True)):
        image = layers.Reshape(shape)(z[:, start : start + size])
        strides, start = 2 ** (len(shapes) - 1 - level), start + size
        convolution = layers.Conv2D(32, 3, strides=strides, padding="same", activation="relu")
        images.append(convolution(image))
    hidden = layers.Conv2D(64, 3, padding="same", activation="relu")(layers.Concatenate()(images))
    hidden = layers.Dense(128, "relu")(layers.Flatten()(hidden))
    return keras.Model(z, layers.Dense(NUM_CLASSES)(hidden))


HEADS = {"levels": levels_head, "convolutions": convolutions_head}


def _batched(data: tuple, targets: bool, *, shuffle: bool = False) -> tf.data.Dataset:
    images = tf.data.Dataset.from_tensor_slices(data if targets else data[0])
    if not shuffle:
        return images.batch(500)
    return images.shuffle(len(data[0]), seed=0).batch(BATCH, drop_remainder=True).prefetch(2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    weights = ["density", *WEIGHTS]
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--weights", nargs="+", choices=weights, default=weights)
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--levels", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
