"""Maps between two kinds of images that are exact both ways.

    python examples/image_to_image.py pairs --transform thickened
    python examples/image_to_image.py rival --transform thickened
    python examples/image_to_image.py unpaired --labels
    python examples/image_to_image.py faces --faces olivetti.npz

`pairs` learns a digit's transformed form from pairs and draws both ways, `rival` the same by a
conditional Glow, which has no way back. `unpaired` learns it from digits and the transformed form
of other ones, by critics or, with --labels, by their classes. `faces` learns the right half of a
face, mirrored, from its left half.
"""

from __future__ import annotations

import argparse
import time

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import grey_dilation
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from tfp_glow import Dequantized, DomainMap, DomainMapModel, FlowModel, flows
from tfp_glow.app.plots import image_grid, save_figure
from tfp_glow.domains import ByClass, Correlated

COLUMNS, TEMPERATURE = 16, 0.5
NETWORK = {"levels": 2, "steps": 4, "hidden_channels": 64, "seed": 0}
TRANSFORMS = {
    "inverted": lambda images: 16 - images,
    "rotated": lambda images: np.rot90(images, axes=(1, 2)).copy(),
    "thickened": lambda images: grey_dilation(images, size=(1, 2, 2, 1)),
}


def main() -> None:
    """Trains one of the maps, prints how good it is, and draws it."""
    options = _options()
    keras.utils.set_random_seed(0)
    start = time.process_time()
    TASKS[options.task](options)
    print(f"{(time.process_time() - start) / 60:.1f} CPU minutes")


def pairs(options: argparse.Namespace) -> None:
    """Digits to their transformed form, by pairs."""
    digits, _ = _digits()
    x, y = digits, TRANSFORMS[options.transform](digits)
    model = domain_map((8, 8, 1), 17, tie=Correlated())
    fit(model, (x[:1500], y[:1500]), epochs=options.epochs, rate=5e-3)
    save(model, options.model)
    report(model, x[1500:], y[1500:], mean=y[:1500].mean(0))
    draw(model, x[1500:], y[1500:], num_bins=17, output=options.output)


def rival(options: argparse.Namespace) -> None:
    """The transformed form by a conditional Glow that reads the digit, as large as both flows."""
    digits, _ = _digits()
    x, y = (digits / 16.0 - 0.5).astype("float32"), TRANSFORMS[options.transform](digits)
    layers = [keras.Input((8, 8, 1))]
    layers += [keras.layers.Conv2D(32, 3, padding="same", activation="relu") for _ in range(2)]
    layers += [keras.layers.Flatten(), keras.layers.Dense(64)]
    flow = flows.glow((8, 8, 1), condition_size=64, **NETWORK)
    flow = flows.conditioned(flow, keras.Sequential(layers), condition_shape=(8, 8, 1))
    model = FlowModel(Dequantized(flow, 17), seed=0)
    fit(model, y[:1500], x[:1500], epochs=options.epochs, rate=5e-3)
    print(model.evaluate(y[1500:], x[1500:], verbose=0, return_dict=True))
    cold = model.distribution.sample(len(x) - 1500, temperature=0.0, condition=x[1500:], seed=0)
    print(f"temperature 0: mean squared error {np.mean((cold.numpy() - y[1500:]) ** 2.0):.2f}")


def unpaired(options: argparse.Namespace) -> None:
    """Digits to the transformed form of others."""
    digits, labels = _digits()
    x, y = digits[:750], TRANSFORMS[options.transform](digits[750:1500])
    tie = ByClass(10) if options.labels else None
    classes = (labels[:750], labels[750:1500]) if options.labels else None
    # A class needs few latents; the others are drawn at a low temperature.
    how = {"shared": 16} if options.labels else {"likelihood_weight": 10.0}
    model = domain_map((8, 8, 1), 17, tie=tie, **how)
    fit(model, (x, y), classes, epochs=options.epochs, rate=5e-3 if options.labels else 2e-3)
    save(model, options.model)
    held_out, truth = digits[1500:], TRANSFORMS[options.transform](digits[1500:])
    report(model, held_out, truth, mean=y.mean(0))
    classifier = KNeighborsClassifier(3).fit(_flat(y), labels[750:1500])
    translated = model.domain_map.translate(held_out, temperature=TEMPERATURE, seed=0)
    for name, images in (("transformed", truth), ("translated", translated)):
        right = classifier.score(_flat(images), labels[1500:])
        print(f"{right:.1%} of the {name} digits are given their class")
    draw(model, held_out, truth, num_bins=17, output=options.output)


def faces(options: argparse.Namespace) -> None:
    """Left halves of faces to their mirrored right halves; the last four people are held out."""
    images = np.load(options.faces)["x_train"].astype(np.float32)
    images = images.reshape(-1, 32, 2, 32, 2).mean((2, 4)) / 8.0
    images = np.clip(np.rint(images), 0, 31).astype(np.int32)[..., np.newaxis]
    x, y = images[:, :, :16], images[:, :, :15:-1]
    model = domain_map((32, 16, 1), 32, tie=Correlated())
    # A mirrored face has its halves exchanged.
    both = np.concatenate([x[:-40], y[:-40]]), np.concatenate([y[:-40], x[:-40]])
    fit(model, both, epochs=options.epochs, rate=2e-3)
    save(model, options.model)
    report(model, x[-40:], y[-40:], mean=y[:-40].mean(0))
    draw(model, x[-40::2], y[-40::2], num_bins=32, output=options.output)


def domain_map(
    image_shape: tuple, num_bins: int, *, tie, shared: int | None = None, **kwargs
) -> DomainMapModel:
    """An untrained map between images of one shape, whose sides start alike."""
    sides = [Dequantized(flows.glow(image_shape, **NETWORK), num_bins) for _ in range(2)]
    return DomainMapModel(DomainMap(*sides, shared=shared, tie=tie), seed=0, **kwargs)


def fit(model: keras.Model, data, labels=None, *, epochs: int, rate: float) -> None:
    """Trains with a rate that rises for 50 steps and falls to 0."""
    examples = max(map(len, data)) if isinstance(data, tuple) else len(data)
    steps = epochs * -(-examples // 64)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 50, warmup_target=rate, warmup_steps=50
    )
    model.compile(keras.optimizers.Adamax(schedule, global_clipnorm=1.0))
    model.fit(data, labels, batch_size=64, epochs=epochs, verbose=2)
    print(f"{sum(np.size(v) for v in model.trainable_variables)} numbers were trained")


def save(model: DomainMapModel, path: str | None) -> None:
    """Writes a file that `tfp-glow translate` reads, where one was asked for."""
    if path is not None:
        model.save(path)


def report(model: DomainMapModel, x, y, *, mean) -> None:
    """Prints errors on held-out pairs, and how exact the way back is."""
    found = model.domain_map
    errors = {"the mean of y": np.mean((y - mean) ** 2)}
    translated = found.translate(x, temperature=TEMPERATURE, seed=0).numpy()
    errors["translate"] = np.mean((translated - y) ** 2.0)
    if isinstance(found.tie, Correlated):
        print(model.evaluate((x, y), verbose=0, return_dict=True))
        cold = found.sample_given(x, temperature=0.0)
        errors["sample_given, temperature 0"] = np.mean((cold.numpy() - y) ** 2.0)
    for name, error in errors.items():
        print(f"{name}: mean squared error {error:.2f}")
    numbers, bins = found.continuous, found.flow_x.num_bins
    real = tf.cast((x + 0.5) / bins - 0.5, tf.float32)
    there = tf.identity(numbers.translate(real, seed=0))
    back = numbers.translate_back(there, rest=numbers.rest_x(real))
    print(f"translate_back(translate(x)) is within {np.abs(back - real).max():.1e} of x")


def draw(model: DomainMapModel, x, y, *, num_bins: int, output: str) -> None:
    """x, its translation, of pairs the most likely y, the true y, and y translated back."""
    x, y = x[:COLUMNS], y[:COLUMNS]
    found, options = model.domain_map, {"temperature": TEMPERATURE, "seed": 0}
    rows = {"x": x, "translate(x)": found.translate(x, **options)}
    if isinstance(found.tie, Correlated):
        rows["sample_given(x), temperature 0"] = found.sample_given(x, temperature=0.0)
    rows |= {"y": y, "translate_back(y)": found.translate_back(y, **options)}
    figure = image_grid(list(rows.values()), num_bins=num_bins, row_labels=list(rows))
    save_figure(figure, output)


TASKS = {"pairs": pairs, "rival": rival, "unpaired": unpaired, "faces": faces}


def _digits() -> tuple:
    """The digits in an order of their own, and their labels."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    return data.images.astype("uint8")[order][..., np.newaxis], data.target[order]


def _flat(images) -> np.ndarray:
    return np.reshape(images, [len(images), -1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--transform", choices=sorted(TRANSFORMS), default="thickened")
    parser.add_argument("--labels", action="store_true", help="tie the unpaired by their classes")
    parser.add_argument("--faces", default="olivetti.npz")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--model", help="a .keras file to write, for tfp-glow translate")
    parser.add_argument("--output", default="image_to_image.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
