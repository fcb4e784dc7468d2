"""Reversible classifiers: memory beside the stored network, accuracy beside the usual ones.

    python -m benchmarks.classifiers memory --models revnet revvit irevnet --units 4 32 --xla
    python -m benchmarks.classifiers memory --models memcnn minrev --minrev minREV
    python -m benchmarks.classifiers learning --data cifar10.npz --models revnet resnet --seeds 2

`memory` trains on random images of CIFAR-10's shape; stored and rebuilt take turns. `learning`
trains the models on the same batches, each in a process of its own, with Adam along a cosine; the
data file has `x_train`, `y_train`, `x_test` and `y_test` as Keras has them.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import pathlib
import sys
import tempfile
import time

import numpy as np

from benchmarks.common import (
    Worker,
    alternate,
    compare,
    peak_rss,
    random_images,
    report,
    serve,
    timed,
    worker_option,
)
from benchmarks.compilers import compile_for, to_stablehlo

CLASSES = 10
WAYS = {"stored": {"store_activations": True}, "reversible": {}}
LEARNING_RATE = 1e-3
PEERS = ("memcnn", "minrev")


def main() -> None:
    """Measures what is asked for, or works for such a measurement."""
    options = _options()
    if options.worker:
        _work(**options.worker)
    elif options.what == "memory":
        for model, units in itertools.product(options.models, options.units):
            rows = _memory_rows(model, units, options)
            report("classifiers", rows, keys=("model", "gradient", "units", "batch"))
    else:
        for model in options.models:
            rows = [_learn(model, seed, options) for seed in range(options.seeds)]
            report("classifiers_learning", rows, keys=("data", "model", "steps", "seed"))


def _memory_rows(model: str, units: int, options: argparse.Namespace) -> list[dict]:
    """One row a way to the gradient; the steps of both take turns."""
    common = {"model": model, "units": units, "batch": options.batch}
    workers = {way: _stepper({"way": way, **common}, options) for way in WAYS}
    with contextlib.ExitStack() as stack:
        for worker in workers.values():
            stack.enter_context(worker)
        first = {way: worker.ask("first") for way, worker in workers.items()}
        turns = {way: functools.partial(worker.ask, "step") for way, worker in workers.items()}
        steps = compare(alternate(turns, options.repeats), "stored")
        sizes = {
            way: {"peak_rss_gb": worker.ask("memory"), "parameters": worker.ask("parameters")}
            for way, worker in workers.items()
        }
    rows = [
        {"gradient": way, **common, "first_step_s": first[way], **steps[way], **sizes[way]}
        for way in WAYS
    ]
    if options.xla and model not in PEERS:
        for row in rows:
            row |= _compiled({**common, "way": row["gradient"]}, options.jax_python)
    return rows


def _stepper(configuration: dict, options: argparse.Namespace) -> Worker:
    """A process that trains one model."""
    if configuration["model"] not in PEERS:
        return Worker("benchmarks.classifiers", {"job": "step", **configuration})
    peer = {"job": "peer", "minrev": options.minrev, **configuration}
    return Worker("benchmarks.classifiers", peer, python=options.peers_python)


def _compiled(configuration: dict, jax_python: str | None) -> dict:
    """XLA's temporaries on a CPU and on a TPU, exported and compiled in processes of their own."""
    row, python = {}, {"python": jax_python} if jax_python else {}
    for target in ("cpu", "tpu"):
        with tempfile.TemporaryDirectory() as folder:
            file = {"path": str(pathlib.Path(folder) / "step.hlo"), "target": target}
            export = {"job": "export", **file, **configuration}
            with Worker("benchmarks.classifiers", export) as exporter:
                exporter.ask("export")
            job = {"job": "compile", **file}
            with Worker("benchmarks.classifiers", job, **python) as compiler:
                found = compiler.ask("compile")
        row |= {f"{target}_{key}": found[key] for key in ("compile_s", "temporaries_mb")}
    return row


def _learn(model: str, seed: int, options: argparse.Namespace) -> dict:
    configuration = {
        "data": str(options.data),
        "model": model,
        "steps": options.steps,
        "batch": options.batch,
        "seed": seed,
    }
    with Worker("benchmarks.classifiers", {"job": "learn", **configuration}) as worker:
        row = {**configuration, **worker.ask("learn"), "data": options.data.stem}
    print(row, flush=True)
    return row


def _work(*, job: str, **options) -> None:
    if job == "compile":
        file = pathlib.Path(options["path"])
        serve({"compile": lambda: compile_for(options["target"], to_stablehlo(file.read_bytes()))})
    elif job == "export":
        serve({"export": functools.partial(_export, **options)})
    elif job == "learn":
        serve({"learn": functools.partial(_train, **options)})
    elif job == "peer":
        from benchmarks.classifiers_torch import serve_steps

        serve_steps(**options)
    else:
        trained = _Steps(**options)
        serve(
            {
                "first": trained.first,
                "step": trained.step,
                "memory": peak_rss,
                "parameters": trained.parameters,
            }
        )


class _Steps:
    """A model in training on one batch of random images."""

    def __init__(self, *, model: str, units: int, way: str, batch: int):
        self._build = functools.partial(_sized, model, units, way)
        self._batch = random_images(batch), np.arange(batch) % CLASSES

    def first(self) -> float:
        """Seconds to build, trace and take the first step."""
        start = time.perf_counter()
        self._model = _compile(self._build(), LEARNING_RATE)
        self.step()
        return time.perf_counter() - start

    def step(self) -> float:
        """Seconds of a step."""
        return timed(lambda: self._model.train_on_batch(*self._batch))

    def parameters(self) -> int:
        return self._model.count_params()


def _sized(model: str, units: int, way: str):
    """A model of so many units in each stage; they are narrow, so that activations matter."""
    from tfp_glow import classifiers

    if model == "revvit":
        sizes = {"depth": units, "width": 64, "heads": 4}
    elif model == "revnet":
        sizes = {"units": (units,) * 3, "filters": (16, 16, 32, 64)}
    else:
        sizes = {"units": (units,) * 2, "strides": (2, 2)}
    build = getattr(classifiers, model)
    return build((32, 32, 3), CLASSES, seed=0, **sizes, **WAYS[way])


def _compile(model, learning_rate):
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"])
    return model


def _export(*, path: str, target: str, model: str, units: int, way: str, batch: int) -> None:
    """Writes the program of loss, gradients and new statistics, all state among its arguments."""
    import keras
    import tensorflow as tf

    from tfp_glow.core.modes import lower_for

    network = _sized(model, units, way)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    variables = [*network.trainable_variables, *network.non_trainable_variables]
    count = len(network.trainable_variables)

    @tf.function(jit_compile=True, autograph=False)
    def step(images, labels, *state):
        trained, others = list(state[:count]), list(state[count:])
        with tf.GradientTape() as tape:
            tape.watch(trained)
            logits, new = network.stateless_call(trained, others, images, training=True)
            loss = loss_of(labels, logits)
        return loss, tape.gradient(loss, trained), new

    inputs = [tf.TensorSpec([batch, 32, 32, 3]), tf.TensorSpec([batch], tf.int32)]
    inputs += [tf.TensorSpec(v.shape, v.dtype) for v in variables]
    with lower_for("cpu_xla" if target == "cpu" else "accelerator"):
        hlo = step.experimental_get_compiler_ir(*inputs)(stage="hlo_serialized")
    pathlib.Path(path).write_bytes(hlo)


def _train(*, data: str, model: str, steps: int, batch: int, seed: int) -> dict:
    """Accuracy on the test images after so many steps."""
    import keras

    with np.load(data) as file:
        parts = [_standardized(file[f"x_{part}"]) for part in ("train", "test")]
        labels = [np.ravel(file[f"y_{part}"]) for part in ("train", "test")]
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 20, warmup_target=LEARNING_RATE, warmup_steps=steps // 20
    )
    network = _compile(_learner(model, parts[0].shape[1:], seed), schedule)
    keras.utils.set_random_seed(seed)
    start = time.perf_counter()
    for images, its_labels in itertools.islice(_batches(parts[0], labels[0], batch, seed), steps):
        network.train_on_batch(images, its_labels)
    seconds = time.perf_counter() - start
    loss, accuracy = network.evaluate(parts[1], labels[1], batch_size=500, verbose=0)
    return {
        "accuracy": accuracy,
        "test_loss": loss,
        "parameters": network.count_params(),
        "seconds": seconds,
    }


def _learner(model: str, shape: tuple, seed: int):
    from benchmarks import keras_classifiers
    from tfp_glow import classifiers

    builders = {
        "revnet": functools.partial(classifiers.revnet, filters=(16, 16, 32, 56)),
        "resnet": keras_classifiers.resnet,
        "revvit": functools.partial(classifiers.revvit, depth=4, width=64, heads=4),
        "vit": functools.partial(keras_classifiers.vit, depth=4, width=64, heads=4),
    }
    return builders[model](shape, CLASSES, seed=seed)


def _batches(images: np.ndarray, labels: np.ndarray, size: int, seed: int):
    """Batches without end, the same for every model; colour images flipped at random."""
    generator = np.random.default_rng(seed)
    while True:
        rows = generator.integers(len(images), size=size)
        batch = images[rows]
        if images.shape[-1] == 3:
            flipped = generator.random(size) < 0.5
            batch[flipped] = batch[flipped, :, ::-1]
        yield batch, labels[rows]


def _standardized(images: np.ndarray) -> np.ndarray:
    """Pixels 0 to 255 as about mean 0 and deviation 1, `[N, H, W, C]`."""
    images = images.astype("float32") / 64.0 - 2.0
    return images if images.ndim == 4 else images[..., np.newaxis]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("memory", "learning"), default="memory")
    parser.add_argument("--models", nargs="+", default=["revnet", "revvit"])
    parser.add_argument("--units", type=int, nargs="+", default=[4, 32])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--xla", action="store_true", help="compile by XLA for CPU and TPU too")
    parser.add_argument("--jax-python", help="interpreter that has JAX, where this one has not")
    parser.add_argument("--peers-python", default=sys.executable, help="where torch is installed")
    parser.add_argument("--minrev", help="folder of minREV's rev.py")
    parser.add_argument("--data", type=pathlib.Path, help="of learning")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=2)
    worker_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
