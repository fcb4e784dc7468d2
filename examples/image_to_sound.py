"""Says the digit that is written, and writes the digit that is said.

python examples/image_to_sound.py mnist.npz recordings --output image_to_sound

Two Glows, of handwritten digits and of spectrograms of spoken ones, share the latents of their
coarsest scale, in which each class has a mean. No image belongs to a sound; both have labels.
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
CLASSES, COPIES, BATCH = 10, 12, 64


def main() -> None:
    """Trains the map and the judges, prints how often they agree, draws and writes sounds."""
    options = _options()
    keras.utils.set_random_seed(0)
    images, image_labels, test_images, test_image_labels = digit_images(options.images)
    sounds, sound_labels, test_sounds, test_sound_labels = digit_sounds(options.sounds)
    path = pathlib.Path(options.output, "image_to_sound.keras")
    if not path.exists():
        data = (images, sounds), (image_labels, sound_labels)
        held_out = (test_images[:300], test_sounds), (test_image_labels[:300], test_sound_labels)
        train(data, held_out, path, epochs=options.epochs)
    domain_map = keras.saving.load_model(path).domain_map
    judge_of_images = judge(images, image_labels, test_images, test_image_labels, "images")
    judge_of_sounds = judge(sounds, sound_labels, test_sounds, test_sound_labels, "sounds")
    chosen = np.arange(1000)
    said = domain_map.translate(test_images[chosen], temperature=0.5, seed=1).numpy()
    written = domain_map.translate_back(test_sounds, temperature=0.5, seed=1).numpy()
    report("image to sound", judge_of_sounds, said, test_image_labels[chosen])
    report("sound to image", judge_of_images, written, test_sound_labels)
    first = [int(np.flatnonzero(test_image_labels == label)[0]) for label in range(CLASSES)]
    spoken = [int(np.flatnonzero(test_sound_labels == label)[0]) for label in range(CLASSES)]
    draw(test_images[first], said[first], test_sounds[spoken], written[spoken], options.output)
    for label, frames in enumerate(said[first]):
        name = pathlib.Path(options.output, f"digit_{label}.wav")
        write_sound(name, LOG_MEL.sound(frames), rate=LOG_MEL.rate)


def digit_images(path: str) -> tuple[np.ndarray, ...]:
    """Images in a border of zeros, uint8 `[N, 32, 32, 1]`, and their labels, to train and test."""
    with np.load(path) as arrays:
        x, y, x_test, y_test = (arrays[k] for k in ("x_train", "y_train", "x_test", "y_test"))
    border = ((0, 0), (2, 2), (2, 2))
    x, x_test = (np.pad(part, border)[..., np.newaxis] for part in (x, x_test))
    return x, y.astype(np.int32), x_test, y_test.astype(np.int32)


def digit_sounds(folder: str) -> tuple[np.ndarray, ...]:
    """Frames, uint8 `[N, 32, 32, 1]`, and their labels; those to train at several speeds."""
    sounds = load_sounds(folder, labels=True, rate=LOG_MEL.rate)
    number = [int(pathlib.Path(name).stem.split("_")[-1]) for name in sounds.names]
    is_test = np.array(number) < 5
    generator = np.random.default_rng(0)
    train, test = [], []
    for sound, held_out in zip(sounds.recordings, is_test, strict=True):
        if held_out:
            test.append(LOG_MEL.frames(sound))
        else:
            train += [LOG_MEL.frames(varied(sound, generator)) for _ in range(COPIES)]
    labels = np.repeat(sounds.labels[~is_test], COPIES)
    return np.stack(train), labels, np.stack(test), sounds.labels[is_test]


def varied(sound: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The sound at another speed, a little later."""
    speed = np.exp(generator.uniform(-0.15, 0.15))
    times = np.arange(0, len(sound) - 1, speed)
    again = np.interp(times, np.arange(len(sound)), sound)
    return np.pad(again, (int(generator.integers(0, 4 * LOG_MEL.hop)), 0))


def train(data, held_out, path: pathlib.Path, *, epochs: int) -> None:
    """Trains a map by class and saves it."""
    flow_x, flow_y = (
        tg.Dequantized(tg.flows.glow((32, 32, 1), steps=4, hidden_channels=48, seed=seed), 256)
        for seed in (0, 1)
    )
    tie = tg.domains.ByClass(CLASSES)
    domain_map = tg.DomainMap(flow_x, flow_y, shared=64, tie=tie)
    model = tg.DomainMapModel(domain_map, seed=0)
    steps = epochs * math.ceil(len(data[0][0]) / BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 100, warmup_target=2e-3, warmup_steps=100
    )
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0))
    start = time.process_time()
    model.fit(*data, batch_size=BATCH, epochs=epochs, verbose=2)
    print(f"{(time.process_time() - start) / 60:.1f} minutes of CPU time")
    print(model.evaluate(*held_out, batch_size=100, verbose=0, return_dict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)


def judge(x, labels, x_test, test_labels, what: str) -> keras.Model:
    """A small classifier of real data alone."""
    layers = [keras.layers.Rescaling(1 / 255)]
    for filters in (16, 32, 64):
        layers += [keras.layers.Conv2D(filters, 3, activation="relu"), keras.layers.MaxPool2D()]
    layers += [keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(CLASSES)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(x[:20000], labels[:20000], batch_size=64, epochs=5, verbose=0)
    report(f"real {what}", model, x_test, test_labels)
    return model


def report(what: str, classifier: keras.Model, x: np.ndarray, labels: np.ndarray) -> None:
    """Prints how often a classifier finds the label."""
    found = classifier.predict(x, verbose=0).argmax(-1)
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
    parser.add_argument("--output", default="image_to_sound", help="folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
