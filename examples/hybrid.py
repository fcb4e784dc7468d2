"""One model that draws digits, tells how likely they are, and classifies them.

    python examples/hybrid.py --output hybrid.png
    python examples/hybrid.py --data mnist.npz --epochs 3

Samples stand in the row of the class that the model itself gives them; beside them the classes of
test images that the training did not see.
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
from matplotlib.figure import Figure

from tfp_glow import Dequantized, FlowClassifier, flows
from tfp_glow.app.generation import sample_images
from tfp_glow.app.plots import save_figure
from tfp_glow.data import ImageData, load_images

COLUMNS = 10


def main() -> None:
    """Trains on likelihood and classes at once, and draws both."""
    options = _options()
    keras.utils.set_random_seed(0)
    data = load_images(options.data, labels=True)
    flow = flows.glow(data.image_shape, levels=2, hidden_channels=64, seed=0)
    distribution = Dequantized(flow, data.num_bins)
    dimensions = distribution.event_shape.num_elements()
    weight = options.weight_per_dim / dimensions
    model = FlowClassifier(distribution, data.num_classes, likelihood_weight=weight, seed=0)
    steps = options.epochs * len(data.train)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 100, warmup_target=5e-3, warmup_steps=100
    )
    model.compile(keras.optimizers.Adamax(schedule, weight_decay=0.3))
    model.fit(data.train, validation_data=data.validation, epochs=options.epochs, verbose=2)
    results = model.evaluate(data.test, return_dict=True, verbose=0)
    print({name: round(value, 4) for name, value in results.items()})
    (samples,) = sample_images(distribution, 400, temperatures=(0.8,), seed=0)
    figure = picture(
        rows_by_class(samples, model.predict(samples, verbose=0)),
        confusion(model, data),
        title=f"{results['accuracy']:.1%} of the test images right, "
        f"{results['bits_per_dim']:.2f} bits/dim",
        num_bins=data.num_bins,
    )
    save_figure(figure, options.output)


def rows_by_class(images: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """`[height, width]`: in row k the first samples that are given class k, white around them."""
    classes = probabilities.shape[-1]
    height, width = images.shape[1:3]
    tiles = np.full([classes, height + 1, COLUMNS, width + 1], np.nan)
    for label in range(classes):
        own = images[probabilities.argmax(-1) == label][:COLUMNS, ..., 0]
        tiles[label, :height, : len(own), :width] = own.transpose(1, 0, 2)
    return tiles.reshape(classes * (height + 1), COLUMNS * (width + 1))


def confusion(model: FlowClassifier, data: ImageData) -> np.ndarray:
    """`[classes, classes]`: how many test images of each class (rows) are given each class."""
    counts = np.zeros([data.num_classes, data.num_classes], int)
    for images, labels in data.test:
        np.add.at(counts, (labels, model.predict_on_batch(images).argmax(-1)), 1)
    return counts


def picture(mosaic: np.ndarray, counts: np.ndarray, *, title: str, num_bins: int) -> Figure:
    """Samples by class, and the table of classes beside them."""
    figure = Figure(figsize=(11, 5.8))
    box = {"left": 0.06, "right": 0.98, "bottom": 0.1, "top": 0.93, "wspace": 0.15}
    left, right = figure.subplots(1, 2, gridspec_kw=box)
    classes = len(counts)
    height = mosaic.shape[0] / classes
    left.imshow(mosaic, cmap="gray", vmin=0, vmax=num_bins - 1, interpolation="nearest")
    left.spines[:].set_visible(False)
    left.set_yticks((np.arange(classes) + 0.5) * height - 1.0, range(classes))
    left.set_xticks([])
    left.set_ylabel("predicted class")
    left.set_title("Samples, by the class that the model gives them")
    right.imshow(np.log1p(counts), cmap="Blues")
    for label, prediction in np.argwhere(counts):
        count = counts[label, prediction]
        color = "white" if count > counts.max() / 4 else "black"
        right.text(prediction, label, count, ha="center", va="center", color=color, fontsize=9)
    right.set_xticks(range(classes))
    right.set_yticks(range(classes))
    right.set_xlabel("predicted class")
    right.set_ylabel("class")
    right.set_title(title)
    return figure


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="digits, or an .npz file of grey images")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--weight-per-dim", type=float, default=1.0, help="1 is a weight of 1 / D")
    parser.add_argument("--output", default="hybrid.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
