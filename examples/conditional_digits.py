"""Draws digits of each class from p(x given class).

python examples/conditional_digits.py --output conditional_digits.png
"""

from __future__ import annotations

import argparse

import keras
import numpy as np

from tfp_glow import Dequantized, FlowModel, flows
from tfp_glow.app.generation import sample_images
from tfp_glow.app.plots import image_grid, save_figure
from tfp_glow.data import load_images


def main() -> None:
    """Trains RealNVP with networks that read the class; one row of samples a class."""
    options = _options()
    keras.utils.set_random_seed(0)
    data = load_images("digits", labels=True)
    flow = flows.realnvp(data.image_shape, num_classes=data.num_classes, seed=0)
    model = FlowModel(Dequantized(flow, data.num_bins))
    steps = options.epochs * len(data.train)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 100, warmup_target=5e-3, warmup_steps=100
    )
    model.compile(keras.optimizers.Adamax(schedule, weight_decay=0.3))
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
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--output", default="conditional_digits.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
