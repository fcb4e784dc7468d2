"""Bits per dimension of spoken digits: flows beside full-covariance Gaussians on the same values.

    python -m benchmarks.sounds frames waves --data recordings

`recordings` is the Free Spoken Digit Dataset's folder of WAV files, 8 kHz; those whose names end
with 0 to 4 are held out. `frames` are their log-mel spectrograms, 32 x 32 values of 8 bits. `waves`
are windows of 64 samples of 16 bits. A Gaussian's covariance is mixed with its own diagonal; of
several shares the one is taken that suits the held-out values best, which favours the Gaussian.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import time
from collections.abc import Callable

import keras
import numpy as np

from benchmarks.common import report
from benchmarks.gaussian import gaussian_log_prob
from tfp_glow import Dequantized, FlowModel, flows
from tfp_glow.data import LogMel, Sounds, load_sounds, write_sound

LOG_MEL, WINDOW, BATCH = LogMel(rate=8000), 64, 64
SHARES = (0.0, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3)
FLOWS: dict[str, dict[str, tuple[Callable, dict]]] = {
    "frames": {
        "glow": (flows.glow, {"levels": 3, "steps": 4, "hidden_channels": 48}),
        "waveglow": (flows.waveglow, {"levels": 3, "steps": 4, "hidden_channels": 64}),
    },
    "waves": {
        "waveglow": (flows.waveglow, {"levels": 3, "steps": 4, "hidden_channels": 32}),
    },
}


def main() -> None:
    """Prints the figures, and writes sounds that the last flow on frames makes."""
    options = _options()
    sounds = load_sounds(options.data, rate=LOG_MEL.rate)
    for values in options.values:
        num_bins, train, test = VALUES[values](sounds)
        rows = [gaussian(train, test, num_bins)]
        for name, (recipe, sizes) in FLOWS[values].items():
            model = FlowModel(Dequantized(recipe(train.shape[1:], seed=0, **sizes), num_bins))
            rows.append({"model": name, **trained(model, train, test, steps=options.steps)})
        report("sounds", [{"values": values, **row} for row in rows], keys=("values", "model"))
        if values == "frames" and options.samples:
            write_samples(model, options.samples)


def frames(sounds: Sounds) -> tuple[int, np.ndarray, np.ndarray]:
    """Spectrograms."""
    found, is_test = np.stack([LOG_MEL.frames(s) for s in sounds.recordings]), held_out(sounds)
    return 256, found[~is_test], found[is_test]


def waves(sounds: Sounds) -> tuple[int, np.ndarray, np.ndarray]:
    """Windows that follow each other, as integers from 0 on."""

    def windows(wanted: bool) -> np.ndarray:
        chosen = zip(sounds.recordings, held_out(sounds), strict=True)
        parts = [s[: len(s) // WINDOW * WINDOW] for s, is_test in chosen if is_test == wanted]
        whole = np.round(32768.0 * np.concatenate(parts)).astype(np.int32) + 32768
        return whole.reshape(-1, WINDOW, 1)

    return 65536, windows(False), windows(True)


VALUES = {"frames": frames, "waves": waves}


def held_out(sounds: Sounds) -> np.ndarray:
    """Which recordings are of the data set's own test split."""
    return np.array([int(pathlib.Path(n).stem.split("_")[-1]) < 5 for n in sounds.names])


def gaussian(train: np.ndarray, test: np.ndarray, num_bins: int) -> dict:
    """The row of the best of several shares of the diagonal."""
    generator, start = np.random.default_rng(0), time.process_time()

    def flat(x, draws: int) -> np.ndarray:
        x = np.concatenate([x.reshape(len(x), -1)] * draws)
        return (x + generator.random(x.shape)) / num_bins - 0.5

    train, test = flat(train, max(1, 13000 // len(train))), flat(test, 5)
    mean, covariance = train.mean(0), np.cov(train.T)
    bits = {}
    for share in SHARES:
        mixed = (1 - share) * covariance + share * np.diag(np.diag(covariance))
        nats = gaussian_log_prob(test, mean, mixed).mean()
        bits[share] = math.log2(num_bins) - nats / (test.shape[1] * math.log(2.0))
    best = min(bits, key=bits.get)
    minutes = (time.process_time() - start) / 60
    return {"model": f"gaussian, {best} of its diagonal", "bits": bits[best], "minutes": minutes}


def trained(model: FlowModel, train: np.ndarray, test: np.ndarray, *, steps: int) -> dict:
    """The row of a flow after so many steps of training."""
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 100, warmup_target=2e-3, warmup_steps=100
    )
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0))
    start = time.process_time()
    epochs = math.ceil(steps * BATCH / len(train))
    model.fit(train, batch_size=BATCH, epochs=epochs, verbose=0)
    minutes = (time.process_time() - start) / 60
    found = model.evaluate(test, batch_size=100, verbose=0, return_dict=True)["bits_per_dim"]
    some = train[:: max(1, len(train) // 1000)]
    known = model.evaluate(some, batch_size=100, verbose=0, return_dict=True)
    return {"bits": found, "train": known["bits_per_dim"], "minutes": minutes}


def write_samples(model: FlowModel, path: str) -> None:
    """Six sounds with a pause behind each, as one file."""
    distribution = model.distribution
    samples = distribution.quantize(distribution.flow.sample(6, temperature=0.7, seed=0))
    sounds = [np.pad(LOG_MEL.sound(sample), (0, 1600)) for sample in samples]
    write_sound(path, np.concatenate(sounds), rate=LOG_MEL.rate)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("values", nargs="+", choices=sorted(VALUES))
    parser.add_argument("--data", required=True, help="folder of WAV files")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--samples", help="WAV file to write what a flow on frames makes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
