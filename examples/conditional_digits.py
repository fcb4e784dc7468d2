"""Draws digits of each class from p(x given class).

python examples/conditional_digits.py --output conditional_digits.png
"""

from __future__ import annotations

import argparse

import keras
import numpy as np

from tfp_glow import Dequantized, FlowModel, flows
from tfp_glow.data import load_images
from tfp_glow.generation import sample_images
from tfp_glow.plots import image_grid, save_figure


def main() -> None:
    """Trains Glow with a class-conditional prior; one row of samples a class."""
    options = _options()
    keras.utils.set_random_seed(0)
    data = load_images("digits", labels=True)
    flow = flows.glow(
        data.image_shape,
        levels=2,
        steps=16,
        hidden_channels=48,
        num_classes=data.num_classes,
        seed=0,
    )
    model = FlowModel(Dequantized(flow, data.num_bins))
    model.compile(keras.optimizers.Adamax(5e-3, weight_decay=0.3))
    model.fit(data.train, validation_data=data.validation, epochs=options.epochs, verbose=2)
    condition = np.repeat(np.arange(data.num_classes), 12)
    (images,) = sample_images(
        model.distribution, len(condition), temperatures=(0.7,), condition=condition, seed=0
    )
    rows = images.reshape(data.num_classes, 12, *data.image_shape)
    labels = [str(label) for label in range(data.num_classes)]
    figure = image_grid(rows, num_bins=data.num_bins, row_labels=labels, title="p(x given class)")
    save_figure(figure, options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", default="conditional_digits.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
