"""How long one waits until training: imports and first steps, of several checkouts in turns.

    git worktree add ../before df244be
    python -m benchmarks.start --checkouts ../before . --repeats 5

Every time is one of a fresh process, which the others do not run beside: the seconds that pass, and
those of the processor, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import functools
import os
import pathlib
import statistics
import subprocess
import sys

from benchmarks.common import alternate, report

_TRAIN = """
model = tg.FlowModel(FLOW)
model.compile(keras.optimizers.Adam(1e-3))
model.train_on_batch(x)
"""
# What Keras itself takes for as many variables as flows.maf(2) has in its networks.
_MLP = """
layers = [keras.layers.Dense(64, "relu") for _ in range(20)]
model = keras.Sequential([keras.Input([2]), *layers])
model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
model.train_on_batch(x, x[:, :1])
"""
_PACKAGES = "import keras, numpy as np, tfp_glow as tg"
_VECTORS = f"{_PACKAGES}\nx = np.random.default_rng(0).normal(size=(256, 2)).astype('float32')"
_IMAGES = f"{_PACKAGES}\nx = np.random.default_rng(0).random((32, 32, 32, 3), 'float32') - 0.5"
_GLOW = "tg.flows.glow((32, 32, 3), levels=3, steps=16, hidden_channels=128, seed=0)"
# What is prepared, and what is timed.
PROGRAMS = {
    "import of TensorFlow, TFP and Keras": (
        "",
        "import keras, tensorflow, tensorflow_probability as tfp\ntfp.bijectors.Chain",
    ),
    "import of tfp_glow": ("", "import tfp_glow"),
    "tfp-glow --version": (
        "import configparser, importlib, sys\n"
        "config = configparser.ConfigParser(); config.read('setup.cfg')\n"
        "scripts = config['options.entry_points']['console_scripts']\n"
        "module, _, function = scripts.partition('=')[2].strip().partition(':')\n"
        "sys.argv = ['tfp-glow', '--version']",
        "try: getattr(importlib.import_module(module), function)()\nexcept SystemExit: pass",
    ),
    "first step of 20 dense layers in Keras": (_VECTORS, _MLP),
    "first step of flows.maf(2)": (_VECTORS, _TRAIN.replace("FLOW", "tg.flows.maf(2, seed=0)")),
    "first step of flows.realnvp(2)": (
        _VECTORS,
        _TRAIN.replace("FLOW", "tg.flows.realnvp(2, seed=0)"),
    ),
    "first step of Glow, 3 x 16 x 128": (_IMAGES, _TRAIN.replace("FLOW", _GLOW)),
}


def main() -> None:
    """Times every program in every checkout."""
    options = _options()
    rows = []
    for what in options.programs:
        turns = {
            checkout: functools.partial(seconds, what, checkout) for checkout in options.checkouts
        }
        for checkout, times in alternate(turns, options.repeats).items():
            passed, used = (statistics.median(column) for column in zip(*times, strict=True))
            name = checkout.resolve().name
            rows.append({"what": what, "checkout": name, "seconds": passed, "cpu_seconds": used})
    report("start", rows, keys=("what", "checkout"))


def seconds(what: str, checkout: pathlib.Path) -> tuple[float, float]:
    """What a program takes in a process of its own, which imports the package of the checkout."""
    prepared, timed = PROGRAMS[what]
    clocks = "(time.perf_counter(), time.process_time())"
    lines = ["import time", prepared, f"start = {clocks}", timed]
    lines.append(f"print(*(end - before for end, before in zip({clocks}, start)))")
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, "PYTHONPATH": "."}
    printed = subprocess.check_output(
        [sys.executable, "-c", "\n".join(lines)], cwd=checkout, env=environment, text=True
    )
    passed, used = printed.split()[-2:]
    return float(passed), float(used)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkouts", nargs="+", type=pathlib.Path, default=[pathlib.Path(".")])
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
