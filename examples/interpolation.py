"""Draws straight lines in latent space between pairs of digits.

python examples/interpolation.py --output interpolation.png
"""

from __future__ import annotations

import argparse

import keras

from tfp_glow import Dequantized, FlowModel, flows
from tfp_glow.app.generation import interpolate_images
from tfp_glow.app.pictures import image_pairs
from tfp_glow.app.plots import plot_interpolation, save_figure
from tfp_glow.data import load_images


def main() -> None:
    """Trains RealNVP's image model and walks between test images."""
    options = _options()
    keras.utils.set_random_seed(0)
    data = load_images("digits")
    flow = flows.realnvp(data.image_shape, levels=2, hidden_channels=32, blocks=2, seed=0)
    model = FlowModel(Dequantized(flow, data.num_bins))
    model.compile(keras.optimizers.Adamax(5e-3, weight_decay=0.3))
    model.fit(data.train, validation_data=data.validation, epochs=options.epochs, verbose=2)
    starts, ends, _ = image_pairs(data.test, 6, seed=0)
    frames = interpolate_images(model.distribution, starts, ends, steps=12)
    save_figure(plot_interpolation(frames, num_bins=data.num_bins), options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", default="interpolation.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
