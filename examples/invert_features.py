"""Draws what an i-RevNet's last features keep of an image: everything.

python examples/invert_features.py --output invert_features.png
"""

from __future__ import annotations

import argparse

import keras
import numpy as np

from tfp_glow import classifiers
from tfp_glow.app.pictures import image_pairs
from tfp_glow.app.plots import image_grid, save_figure
from tfp_glow.data import load_images

PAIRS = 5
FRAMES = 2 * PAIRS


def main() -> None:
    """Trains a classifier of digits and rebuilds images from what its last layer reads."""
    options = _options()
    keras.utils.set_random_seed(0)
    data = load_images("digits", labels=True)
    scale = (data.num_bins - 1) / 2
    model = classifiers.irevnet(
        data.image_shape,
        data.num_classes,
        units=(3, 3),
        strides=(1, 2),
        added_channels=15,
        seed=0,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adamax(1e-2, weight_decay=0.1), loss, metrics=["accuracy"])
    train, test = (_scaled(part, scale) for part in (data.train, data.test))
    model.fit(train, epochs=options.epochs, verbose=2)
    _, accuracy = model.evaluate(test, verbose=0)

    starts, ends, _ = image_pairs(data.test, PAIRS, seed=0)
    images = np.concatenate([starts, ends])
    rebuilt = np.asarray(model.invert(model.features(images / scale - 1)))
    error = np.max(np.abs(rebuilt - (images / scale - 1)))
    print(f"accuracy {accuracy:.4f}, largest error of a rebuilt image {error:.1e}", flush=True)

    paths = _paths(model, starts / scale - 1, ends / scale - 1)
    labels = ["images", "rebuilt", *["on a line"] * PAIRS]
    title = f"Digits from an i-RevNet's last features (test accuracy {100 * accuracy:.1f} %)"
    figure = image_grid(
        [images, _pixels(rebuilt, data), *(_pixels(path, data) for path in paths)],
        num_bins=data.num_bins,
        row_labels=labels,
        title=title,
    )
    save_figure(figure, options.output)


def _scaled(batches, scale: float):
    """Pixels from -1 to 1."""
    return batches.map(lambda x, y: (keras.ops.cast(x, "float32") / scale - 1.0, y))


def _paths(model, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Images `[pairs, FRAMES, H, W, C]` on straight lines between the features of two."""
    first, last = model.features(starts), model.features(ends)
    weights = np.linspace(0.0, 1.0, FRAMES, dtype="float32")
    frames = [np.asarray(model.invert((1 - w) * first + w * last)) for w in weights]
    return np.stack(frames, 1)


def _pixels(images: np.ndarray, data) -> np.ndarray:
    """Integers again, cut to their range."""
    values = np.rint((images + 1) * (data.num_bins - 1) / 2)
    return np.clip(values, 0, data.num_bins - 1).astype("int32")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--output", default="invert_features.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
