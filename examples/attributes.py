"""Moves attributes of digits or faces along directions of latents, and measures what else moves.

    python examples/attributes.py digits mnist.npz --output attributes_digits.png
    python examples/attributes.py faces olivetti.npz --output attributes_faces.png

Digits are slanted and made thick, faces lit from another side and made bright. How slanted, thick,
lit and bright an image is, is computed from its pixels. The directions come from training images,
the figures from others.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping

import keras
import numpy as np

from tfp_glow import Dequantized, FlowModel, flows
from tfp_glow.app.generation import direction_of_images, manipulate_images
from tfp_glow.app.plots import image_grid, save_figure

BINS = 32
STRENGTHS = (-0.6, -0.3, 0.0, 0.3, 0.6)
COLUMNS = 10


def slant(images: np.ndarray) -> np.ndarray:
    """Columns that a stroke moves to the right a row upwards, from second moments."""
    ink = images[..., 0] / images.sum((1, 2, 3))[:, None, None]
    rows, columns = np.indices(ink.shape[1:])
    below = rows - np.sum(ink * rows, (1, 2), keepdims=True)
    right = columns - np.sum(ink * columns, (1, 2), keepdims=True)
    return -np.sum(ink * below * right, (1, 2)) / np.sum(ink * below**2, (1, 2))


def thickness(images: np.ndarray) -> np.ndarray:
    """Pixels across a stroke: twice the ink by the length of its outline."""
    ink = np.pad(images[..., 0].astype(float), ((0, 0), (1, 1), (1, 1)))
    outline = np.hypot(np.diff(ink, axis=1)[:, :, 1:], np.diff(ink, axis=2)[:, 1:])
    return 2 * ink.sum((1, 2)) / outline.sum((1, 2))


def light(images: np.ndarray) -> np.ndarray:
    """By how much the right half is brighter than the left one, as a part of the whole."""
    half = images.shape[2] // 2
    left, right = images[:, :, :half].mean((1, 2, 3)), images[:, :, half:].mean((1, 2, 3))
    return 2 * (right - left) / (right + left)


def brightness(images: np.ndarray) -> np.ndarray:
    """Mean of the pixels."""
    return images.mean((1, 2, 3))


@dataclasses.dataclass(frozen=True)
class Kind:
    """Two attributes, a flow, and how it is trained."""

    attributes: Mapping[str, Callable]
    flow: Mapping[str, int]
    epochs: int
    batch_size: int
    weight_decay: float


KINDS = {
    "digits": Kind(
        attributes={"slant": slant, "thickness": thickness},
        flow={"levels": 2, "steps": 8, "hidden_channels": 32},
        epochs=4,
        batch_size=128,
        weight_decay=0.0,
    ),
    "faces": Kind(
        attributes={"light": light, "brightness": brightness},
        flow={"levels": 3, "steps": 8, "hidden_channels": 64},
        epochs=80,
        batch_size=35,
        weight_decay=0.1,
    ),
}


def main() -> None:
    """Trains a Glow, or loads it, finds two directions, prints a table and draws."""
    options = _options()
    kind = KINDS[options.kind]
    (images, labels), test = read(options.kind, options.data)
    distribution = trained(kind, images, test, options.model).distribution
    images, labels = images[:20_000], labels[:20_000]
    groups = {name: extremes(measure(images), labels) for name, measure in kind.attributes.items()}

    def direction(name: str, **kwargs):
        most, least = (images[index] for index in groups[name])
        return direction_of_images(distribution, most, least, **kwargs)

    plain = {name: direction(name) for name in groups}
    spread = {name: measure(images).std() for name, measure in kind.attributes.items()}
    rows, row_labels = [], []
    for name, other in zip(groups, reversed(groups), strict=True):
        alone = direction(name, orthogonal_to=plain[other])
        for way, which in (("plain", plain[name]), ("orthogonal", alone)):
            altered = manipulate_images(distribution, test, which, STRENGTHS)
            report(kind, f"{name}, {way}", altered, spread)
        rows += list(np.moveaxis(altered[:: len(test) // COLUMNS][:COLUMNS], 1, 0))
        row_labels += [f"{name} {strength:+g}" for strength in STRENGTHS]
    save_figure(image_grid(rows, num_bins=BINS, row_labels=row_labels), options.output)


def read(kind: str, path: str) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Training images `[N, H, W, 1]` of 5 bits with their labels, and 50 or 200 test images."""
    with np.load(path) as data:
        images, labels = data["x_train"], data["y_train"]
        if kind == "digits":
            return (images[..., None] // 8, labels), data["x_test"][:200, ..., None] // 8
    # Half the size, and with all mirror images; the last five persons are for the test.
    images = images.reshape(-1, 32, 2, 32, 2).mean((2, 4), dtype="float32")[..., None]
    images, count = (images // 8).astype("uint8"), 350
    both = np.concatenate([images[:count], images[:count, :, ::-1]])
    return (both, np.tile(labels[:count], 2)), images[count:]


def trained(kind: Kind, images: np.ndarray, test: np.ndarray, path: pathlib.Path) -> FlowModel:
    """The model in a file, which is trained and written first where there is none."""
    if path.exists():
        return keras.saving.load_model(path, compile=False)
    keras.utils.set_random_seed(0)
    flow = flows.glow(images.shape[1:], **kind.flow, seed=0)
    model = FlowModel(Dequantized(flow, BINS), seed=0)
    steps = kind.epochs * -(-len(images) // kind.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 100, warmup_target=5e-3, warmup_steps=100
    )
    optimizer = keras.optimizers.Adamax(
        schedule, weight_decay=kind.weight_decay, global_clipnorm=1.0
    )
    model.compile(optimizer)
    start = time.process_time()
    model.fit(
        np.random.default_rng(0).permutation(images),
        batch_size=kind.batch_size,
        epochs=kind.epochs,
        validation_data=(test,),
        callbacks=[keras.callbacks.ModelCheckpoint(path)],
        verbose=2,
    )
    print(f"{(time.process_time() - start) / 60:.1f} CPU minutes of training")
    return model


def extremes(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fifth of each class with the most of an attribute, and that with the least.

    So no class, or person, is in one group more often than in the other.
    """
    most, least = [], []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        own, count = own[np.argsort(values[own])], max(len(own) // 5, 1)
        most.append(own[-count:])
        least.append(own[:count])
    return np.concatenate(most), np.concatenate(least)


def report(kind: Kind, name: str, altered: np.ndarray, spread: Mapping[str, float]) -> None:
    """Prints by how much either attribute moves, in standard deviations of the training images."""
    for measured, measure in kind.attributes.items():
        values = [measure(altered[:, index]) for index in range(len(STRENGTHS))]
        original = values[STRENGTHS.index(0.0)]
        moves = [np.mean(value - original) / spread[measured] for value in values]
        print(f"| {name} | {measured} | " + " | ".join(f"{move:+.2f}" for move in moves) + " |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("data", help=".npz file in Keras' format")
    parser.add_argument(
        "--model", type=pathlib.Path, default="attributes.keras", help="trained where it is missing"
    )
    parser.add_argument("--output", default="attributes.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
