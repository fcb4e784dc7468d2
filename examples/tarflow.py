"""Draws images of each class by TarFlow, unguided and guided.

python examples/tarflow.py mnist.npz --output tarflow.png
python examples/tarflow.py cifar10.npz --halve --patch-size 2 --epochs 16 --output tarflow_cifar.png
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import FlowModel, Noised, flows
from tfp_glow.app.plots import image_grid, save_figure

WEIGHTS = (0.0, 1.0, 2.0)


def main() -> None:
    """Trains on images with Gaussian noise; two rows of denoised samples a weight."""
    options = _options()
    keras.utils.set_random_seed(0)
    images, labels = _read(options)
    model = FlowModel(Noised(_flow(images.shape[1:], options), sigma=0.05), seed=0)
    steps = options.epochs * -(-len(images) // options.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - 100, 1), warmup_target=options.learning_rate, warmup_steps=100
    )
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0))
    model.fit(images, labels, batch_size=options.batch_size, epochs=options.epochs, verbose=2)
    figure = image_grid(
        [row for weight in WEIGHTS for row in _drawn(model.distribution, weight)],
        num_bins=256,
        row_labels=[f"w = {weight:g}" for weight in WEIGHTS for _ in range(2)],
        title="TarFlow: images of each class, guided by w",
    )
    save_figure(figure, options.output)


def _read(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Images `[N, H, W, C]` from -1 to 1, and their classes."""
    with np.load(options.data) as data:
        images, labels = data["x_train"], data["y_train"].astype("int32")
    images = images.reshape(*images.shape[:3], -1) / np.float32(127.5) - 1
    return (tf.nn.avg_pool2d(images, 2, 2, "VALID").numpy() if options.halve else images), labels


def _flow(shape, options: argparse.Namespace):
    sizes = {name: getattr(options, name) for name in ("patch_size", "width", "blocks", "layers")}
    return flows.tarflow(shape, num_classes=10, seed=0, **sizes)


@tf.function
def _sample(distribution: Noised, classes, weight):
    return distribution.sample(len(classes), condition=classes, guidance=weight, seed=1)


def _drawn(distribution: Noised, weight: float) -> np.ndarray:
    """`[2, 10, H, W, C]`, integers; the same noise for every weight."""
    samples = _sample(distribution, np.tile(np.arange(10), 2), tf.constant(weight)).numpy()
    pixels = np.clip(np.round((samples + 1) * 127.5), 0, 255).astype("uint8")
    return pixels.reshape(2, 10, *pixels.shape[1:])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help=".npz file in Keras' format")
    parser.add_argument("--halve", action="store_true", help="means of 2 x 2 pixels")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--patch-size", type=int, default=7)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--output", default="tarflow.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
