"""The training step as an XLA program that runs where there is JAX and no TensorFlow.

    python -m benchmarks.gpu export FOLDER --steps 32 --width 512 --batch 64 --networks bfloat16
    python -m benchmarks.gpu run FOLDER --repeats 20 --peak-tflops 989
    python -m benchmarks.gpu check FOLDER
    python -m benchmarks.gpu train FOLDER --data cifar10.npz --minutes 5
    python -m benchmarks.gpu torch --steps 32 --width 512 --batch 64 --networks bfloat16

`export` needs TensorFlow; `run`, `check` and `train` need JAX and NumPy, and use its first device;
`torch` needs PyTorch, and normflows for `--peer normflows_glow`. With its data `export` sets the
flow as `fit` would.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import statistics
import time

import numpy as np

from benchmarks.common import (
    IMAGE_SHAPE,
    model_flops,
    random_batches,
    random_images,
    report,
    timed,
)
from benchmarks.exported import Exported, redraw_kernels, seeded_normal, write
from benchmarks.images import Images
from benchmarks.residual import Budget

MODEL = ("model", "steps", "width", "batch", "networks", "gradient", "products")
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def main() -> None:
    """Exports programs, or runs one."""
    options = _options()
    options.action(options)


def export_programs(options: argparse.Namespace) -> None:
    """Writes the programs of a training step and of an evaluation."""
    import tensorflow as tf

    from benchmarks.training import export, export_evaluation, glow

    tf.config.experimental.enable_tensor_float_32_execution(options.products == "tf32")
    flow = glow(
        steps=options.steps,
        width=options.width,
        reversible=options.reversible,
        network_dtype=POLICIES[options.networks],
    )
    redrawn = redraw_kernels([v for v in flow.bijector.keras_variables if v.trainable])
    _initialize(flow, options)
    place = {"batch": options.batch, "backend": "accelerator"}
    step, evaluation = export(flow, **place), export_evaluation(flow, **place)
    write(
        options.folder,
        {"step": step.hlo, "evaluation": evaluation.hlo},
        step.state,
        step.constants,
        parameters=len(evaluation.state),
        redrawn=redrawn,
        configuration=_configuration("ours_glow", options),
    )


def _initialize(flow, options: argparse.Namespace) -> None:
    from tfp_glow import Dequantized

    if options.data is None:
        flow.initialize(random_images(options.batch))
        return
    images = Images.load(options.data, halve=False, bits=8)
    first = next(random_batches(images.train, options.batch))
    Dequantized(flow, images.num_bins).initialize(first, seed=0)


def run_step(options: argparse.Namespace) -> None:
    """Times the exported step, each fed with the outputs of the one before."""
    import jax

    exported = Exported(options.folder)
    configuration = exported.configuration
    start = time.perf_counter()
    call, executable = exported.compile("step")
    compile_s = time.perf_counter() - start
    arguments = [random_images(configuration["batch"]), np.float32(1e-3)]
    arguments, state, constants = jax.device_put((arguments, exported.state, exported.constants))
    losses = []

    def step() -> None:
        loss, *state[:] = call([*arguments, *state, *constants])
        losses.append(float(loss))

    step()  # The first run allocates.
    seconds = [timed(step) for _ in range(options.repeats)]
    row = {"device": jax.devices()[0].device_kind, **configuration, "compile_s": compile_s}
    row |= _speed(row, seconds, options.peak_tflops)
    row |= {
        "temporaries_mb": executable.get_compiled_memory_stats().temp_size_in_bytes / 1e6,
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }
    report("gpu", [row], keys=("device", *MODEL))


def run_torch(options: argparse.Namespace) -> None:
    """Times a PyTorch peer's step on the same images."""
    import torch

    from benchmarks import torch_peers

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
        options.products == "tf32"
    )
    torch.backends.cudnn.benchmark = True
    sizes = {"steps": options.steps, "width": options.width, "batch": options.batch}
    place = {"device": options.device, "autocast": options.networks == "bfloat16"}
    peer = getattr(torch_peers, options.peer)(**sizes, **place)
    seconds = [timed(peer.train) for _ in range(options.repeats + 3)]
    on_gpu = options.device == "cuda"
    row = {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        **_configuration(options.peer, options),
        "compile_s": None,
        **_speed(sizes, seconds[3:], options.peak_tflops),
        "peak_mb": torch.cuda.max_memory_allocated() / 1e6 if on_gpu else None,
    }
    report("gpu", [row], keys=("device", *MODEL))


def check(options: argparse.Namespace) -> None:
    """Tells the loss and the error of decode(encode(x)) where every weight is off its start.

    The same on every machine, but for what rounding does there.
    """
    import jax

    exported = Exported(options.folder)
    parameters = [
        value + np.float32(options.spread) * seeded_normal(index, value.shape)
        for index, value in enumerate(exported.parameters_of(exported.state))
    ]
    x = random_images(exported.configuration["batch"])
    z = np.zeros([len(x), math.prod(IMAGE_SHAPE)], "float32")
    call, _ = exported.compile("evaluation")
    loss, error, _ = call(jax.device_put([x, z, *parameters, *exported.constants]))
    row = {
        "device": jax.devices()[0].device_kind,
        **exported.configuration,
        "bits_per_dim": float(loss),
        "round_trip": float(error),
    }
    report("gpu_check", [row], keys=("device", *MODEL))


def train(options: argparse.Namespace) -> None:
    """Trains on images for so many minutes, and measures the test images."""
    from benchmarks.gpu_training import Training

    training = Training(Exported(options.folder), options.data)
    budget = Budget(options.minutes, clock=time.perf_counter)
    curve = training.fit(budget, options.rate)
    row = {
        "device": training.device_kind,
        **training.configuration,
        "data": pathlib.Path(options.data).stem,
        "minutes": options.minutes,
        "rate": options.rate,
        **training.measure(),
        "training_steps": training.steps,
        "curve": curve,
    }
    report("gpu_training", [row], keys=("device", *MODEL, "data", "minutes", "rate"))
    options.samples.parent.mkdir(parents=True, exist_ok=True)
    np.save(options.samples, training.sample(options.temperature))


def _configuration(model: str, options: argparse.Namespace) -> dict:
    return {
        "model": model,
        "steps": options.steps,
        "width": options.width,
        "batch": options.batch,
        "networks": options.networks,
        "gradient": "reversible" if options.reversible else "stored",
        "products": options.products,
    }


def _speed(sizes: dict, seconds: list[float], peak_tflops: float | None) -> dict:
    sizes = {key: sizes[key] for key in ("steps", "width", "batch")}
    step_s = statistics.median(seconds)
    tflops = model_flops(**sizes) / step_s / 1e12
    return {
        "step_s": step_s,
        "images_per_s": sizes["batch"] / step_s,
        "model_tflops": tflops,
        "share_of_peak": tflops / peak_tflops if peak_tflops else None,
        "repeats": len(seconds),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for action, name in ((export_programs, "export"), (run_torch, "torch")):
        command = commands.add_parser(name)
        command.set_defaults(action=action, reversible=False)
        command.add_argument("--steps", type=int, default=32)
        command.add_argument("--width", type=int, default=512)
        command.add_argument("--batch", type=int, default=64)
        command.add_argument("--networks", choices=POLICIES, default="float32")
        command.add_argument("--products", choices=("tf32", "float32"), default="tf32")
    export, torch = commands.choices["export"], commands.choices["torch"]
    export.add_argument("--reversible", action="store_true")
    export.add_argument("--data", help="images to set the flow from, as Keras has them")
    torch.add_argument("--peer", choices=("torch_glow", "normflows_glow"), default="torch_glow")
    torch.add_argument("--device", default="cuda")
    for action, name in ((run_step, "run"), (check, "check"), (train, "train")):
        command = commands.add_parser(name)
        command.set_defaults(action=action)
    run, check_, training = (commands.choices[name] for name in ("run", "check", "train"))
    for command in (run, torch):
        command.add_argument("--repeats", type=int, default=20)
        command.add_argument("--peak-tflops", type=float, help="the chip's peak, for its share")
    for command in (export, run, check_, training):
        command.add_argument("folder", type=pathlib.Path)
    check_.add_argument("--spread", type=float, default=1e-3, help="of what is added to weights")
    training.add_argument("--data", required=True, help="cifar10.npz, as Keras has it, or alike")
    training.add_argument("--minutes", type=float, default=5.0)
    training.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    training.add_argument("--temperature", type=float, default=0.8, help="of the samples")
    training.add_argument("--samples", type=pathlib.Path, default="runs/gpu/samples.npy")
    return parser.parse_args()


if __name__ == "__main__":
    main()
