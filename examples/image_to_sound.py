"""Says the digit that is written, and writes the digit that is said.

python examples/image_to_sound.py mnist.npz recordings --output image_to_sound

Two Glows, of handwritten digits and of spectrograms of spoken ones, share 64 latents of their
coarsest scale, in which each class has a mean. No image belongs to a sound; both have labels. What
is shared tells the class and is carried over; the other latents are drawn to fit.
`recordings` is the Free Spoken Digit Dataset's folder of WAV files, of which 0 to 4 are for tests.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import time

import keras
import matplotlib.pyplot as plt
import numpy as np

import tfp_glow as tg
from tfp_glow.app.plots import save_figure
from tfp_glow.data import LogMel, load_sounds, write_sound

LOG_MEL = LogMel(rate=8000)
CLASSES, COPIES, BATCH, SHARED, NOISE = 10, 12, 64, 64, 0.07


def main() -> None:
    """Trains the map and the judges, prints how often they agree, draws and writes sounds."""
    options = _options()
    keras.utils.set_random_seed(0)
    images, test_images = digit_images(options.images)
    sounds, test_sounds = digit_sounds(options.sounds)
    path = pathlib.Path(options.output, "image_to_sound.keras")
    if not path.exists():
        train((images, sounds), (test_images, test_sounds), path, epochs=options.epochs)
    domain_map = keras.saving.load_model(path).domain_map
    some = images[0][:20000], images[1][:20000]
    by_class = tg.domains.ClassMap(domain_map, *some, *sounds)
    judges = judge(images, test_images, epochs=3), judge(sounds, test_sounds, epochs=8)

    (x, labels_x), (y, labels_y) = (part[:1000] for part in test_images), test_sounds
    labels = labels_x, labels_y
    plain = [
        domain_map.translate(x, temperature=0.5, seed=1),
        domain_map.translate_back(y, temperature=0.5, seed=1),
    ]
    report_both("the flows' own latents, temperature 0.5", judges, plain, labels)
    for temperature in options.temperatures:
        said = by_class.translate(x, temperature=temperature, seed=0)
        written = by_class.translate_back(y, temperature=temperature, seed=0)
        report_both(f"temperature {temperature}", judges, (said, written), labels)
    first, spoken = (
        [int(np.flatnonzero(own == label)[0]) for label in range(CLASSES)] for own in labels
    )
    draw(x[first], said[first], y[spoken], written[spoken], options.output)
    for label, frames in enumerate(said[first]):
        name = pathlib.Path(options.output, f"digit_{label}.wav")
        write_sound(name, LOG_MEL.sound(255.0 * (frames + 0.5)), rate=LOG_MEL.rate)


def digit_images(path: str) -> tuple[tuple, tuple]:
    """Images of half the size, `[N, 16, 16, 1]` from -0.5 to 0.5, and labels, to train and test."""

    def prepared(images, labels) -> tuple[np.ndarray, np.ndarray]:
        halved = images.reshape(-1, 14, 2, 14, 2).mean((2, 4), dtype=np.float32)
        padded = np.pad(halved, ((0, 0), (1, 1), (1, 1)))[..., np.newaxis]
        return padded / 255.0 - 0.5, labels.astype(np.int32)

    with np.load(path) as arrays:
        return tuple(prepared(arrays[f"x_{p}"], arrays[f"y_{p}"]) for p in ("train", "test"))


def digit_sounds(folder: str) -> tuple[tuple, tuple]:
    """Frames, `[N, 32, 32, 1]` from -0.5 to 0.5, and labels; those to train at several speeds."""
    sounds = load_sounds(folder, labels=True, rate=LOG_MEL.rate)
    numbers = [int(pathlib.Path(name).stem.split("_")[-1]) for name in sounds.names]
    generator, train, test = np.random.default_rng(0), ([], []), ([], [])
    for sound, label, number in zip(sounds.recordings, sounds.labels, numbers, strict=True):
        if number < 5:
            forms, part = [sound], test
        else:
            forms, part = [varied(sound, generator) for _ in range(COPIES)], train
        part[0].extend(LOG_MEL.frames(form) for form in forms)
        part[1].extend([label] * len(forms))
    return tuple((np.stack(x) / np.float32(255) - 0.5, np.array(y)) for x, y in (train, test))


def varied(sound: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The sound at another speed, a little later."""
    times = np.arange(0, len(sound) - 1, np.exp(generator.uniform(-0.15, 0.15)))
    again = np.interp(times, np.arange(len(sound)), sound)
    return np.pad(again, (int(generator.integers(0, 4 * LOG_MEL.hop)), 0))


def train(data, held_out, path: pathlib.Path, *, epochs: int) -> None:
    """Trains a map by class and saves it."""
    flow_x = tg.flows.glow((16, 16, 1), levels=2, steps=4, hidden_channels=48, seed=0)
    flow_y = tg.flows.glow((32, 32, 1), levels=3, steps=4, hidden_channels=48, seed=1)
    sides = [tg.Noised(flow, NOISE) for flow in (flow_x, flow_y)]
    domain_map = tg.DomainMap(*sides, shared=SHARED, tie=tg.domains.ByClass(CLASSES))
    model = tg.DomainMapModel(domain_map, seed=0)
    steps = epochs * math.ceil(len(data[0][0]) / BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 100, warmup_target=2e-3, warmup_steps=100
    )
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0))
    start = time.process_time()
    x, y = zip(*data, strict=True)
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=2)
    print(f"{(time.process_time() - start) / 60:.1f} minutes of CPU time")
    x, y = zip(*((x[:300], labels[:300]) for x, labels in held_out), strict=True)
    print(model.evaluate(x, y, batch_size=100, verbose=0, return_dict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)


def judge(data, held_out, *, epochs: int) -> keras.Model:
    """A small classifier, trained on real data alone."""
    layers = []
    for filters in (16, 32, 64):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPool2D(),
        ]
    layers += [keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(CLASSES)]
    model = keras.Sequential(layers)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*(part[:20000] for part in data), batch_size=64, epochs=epochs, verbose=0)
    report("real ones", model, *held_out)
    return model


def report_both(what: str, judges, mapped, labels) -> None:
    """Prints how often the judges find the labels of images as sounds and of sounds as images."""
    print(what)
    report("images to sounds", judges[1], mapped[0], labels[0])
    report("sounds to images", judges[0], mapped[1], labels[1])


def report(what: str, classifier: keras.Model, x, labels: np.ndarray) -> None:
    """Prints how often a classifier finds the label."""
    found = classifier.predict(np.asarray(x), verbose=0).argmax(-1)
    print(f"{what}: {np.mean(found == labels):.1%} of {len(labels)} recognised", flush=True)


def draw(images, said, sounds, written, output: str) -> None:
    """A picture: an image a column over its sound, and a sound over its image."""
    figure, axes = plt.subplots(4, CLASSES, figsize=(CLASSES, 4.2), layout="constrained")
    rows = (images, said, sounds, written)
    for row, (cells, is_sound) in enumerate(zip(rows, (False, True, True, False), strict=True)):
        for axis, cell in zip(axes[row], cells[..., 0], strict=True):
            axis.imshow(cell.T if is_sound else cell, origin="lower" if is_sound else "upper")
            axis.set(xticks=[], yticks=[])
    for row, label in enumerate(("image", "said", "sound", "written")):
        axes[row, 0].set_ylabel(label)
    save_figure(figure, pathlib.Path(output, "image_to_sound.png"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", help="MNIST as Keras' mnist.npz")
    parser.add_argument("sounds", help="folder of WAV files")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.7, 0.5])
    parser.add_argument("--output", default="image_to_sound", help="folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
