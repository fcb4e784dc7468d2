"""The training step as an XLA program that runs where there is JAX and no TensorFlow.

    python -m benchmarks.gpu export FOLDER --steps 32 --width 512 --batch 64 --networks bfloat16
    python -m benchmarks.gpu run FOLDER --repeats 20 --peak-tflops 989

`export` needs TensorFlow and jaxlib; `run` needs JAX and NumPy, and runs on JAX's first device.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import time

import numpy as np

from benchmarks.common import model_flops, random_images, report, timed
from benchmarks.compilers import compile_here, to_stablehlo

KEYS = ("device", "steps", "width", "batch", "networks", "gradient")
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
KERNEL_STD = 0.05


def main() -> None:
    """Exports the program, or runs one."""
    options = _options()
    options.action(options)


def export_step(options: argparse.Namespace) -> None:
    """Writes step.stablehlo, state.npz and manifest.json."""
    from benchmarks.training import export, glow

    flow = glow(
        steps=options.steps,
        width=options.width,
        reversible=options.reversible,
        network_dtype=POLICIES[options.networks],
    )
    redrawn = _redraw_kernels(flow)
    flow.initialize(random_images(options.batch))
    program = export(flow, batch=options.batch, backend="accelerator")
    arrays = [*program.state, *program.constants]
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "step.stablehlo").write_bytes(to_stablehlo(program.hlo))
    kept = {str(i): a for i, a in enumerate(arrays) if i not in redrawn}
    np.savez_compressed(options.folder / "state.npz", **kept)
    manifest = {
        "configuration": _configuration(options),
        "model_flops": model_flops(steps=options.steps, width=options.width, batch=options.batch),
        "inputs": [{"shape": a.shape, "dtype": a.dtype.name} for a in arrays],
        "state": len(program.state),
        "redrawn": sorted(redrawn),
    }
    (options.folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def run_step(options: argparse.Namespace) -> None:
    """Times the exported step on JAX's first device."""
    manifest = json.loads((options.folder / "manifest.json").read_text())
    program = (options.folder / "step.stablehlo").read_bytes()
    start = time.perf_counter()
    executable, device = compile_here(program)
    compile_s = time.perf_counter() - start
    losses, seconds = _train(executable, device, options, manifest)
    step_s = statistics.median(seconds)
    tflops = manifest["model_flops"] / step_s / 1e12
    row = {
        "device": device.device_kind,
        **manifest["configuration"],
        "compile_s": compile_s,
        "step_s": step_s,
        "images_per_s": manifest["configuration"]["batch"] / step_s,
        "model_tflops": tflops,
        "share_of_peak": tflops / options.peak_tflops if options.peak_tflops else None,
        "temporaries_mb": executable.get_compiled_memory_stats().temp_size_in_bytes / 1e6,
        "peak_mb": (device.memory_stats() or {}).get("peak_bytes_in_use", 0) / 1e6 or None,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "repeats": options.repeats,
    }
    report("gpu", [row], keys=KEYS)


def _train(executable, device, options, manifest: dict) -> tuple[list[float], list[float]]:
    """Losses and seconds of steps, each fed with the outputs of the one before."""
    import jax

    arrays = _initial_values(options.folder, manifest)
    batch = manifest["configuration"]["batch"]
    x, *values = jax.device_put([random_images(batch), *arrays], device)
    state, constants = values[: manifest["state"]], values[manifest["state"] :]
    losses = []

    def step() -> None:
        outputs = executable.execute_sharded([x, *state, *constants])
        loss, *state[:] = [o[0] for o in outputs.disassemble_into_single_device_arrays()]
        losses.append(float(loss))

    step()  # The first run allocates.
    seconds = [timed(step) for _ in range(options.repeats)]
    return losses, seconds


def _redraw_kernels(flow) -> set[int]:
    """Sets the large kernels to what `_kernel` draws again elsewhere, and tells their indices.

    So the folder stays small.
    """
    trained = [v for v in flow.bijector.keras_variables if v.trainable]
    large = {i for i, v in enumerate(trained) if v.numpy().size > 2**16 and v.numpy().std() > 0}
    redrawn = {i for i in large if trained[i].name.endswith("kernel")}
    for index in redrawn:
        trained[index].assign(_kernel(index, trained[index].shape))
    return redrawn


def _kernel(index: int, shape) -> np.ndarray:
    normal = np.random.default_rng(index).standard_normal(tuple(shape), "float32")
    return normal * np.float32(KERNEL_STD)


def _initial_values(folder: pathlib.Path, manifest: dict) -> list[np.ndarray]:
    redrawn = set(manifest["redrawn"])
    with np.load(folder / "state.npz") as kept:
        return [
            _kernel(i, spec["shape"]) if i in redrawn else kept[str(i)]
            for i, spec in enumerate(manifest["inputs"])
        ]


def _configuration(options: argparse.Namespace) -> dict:
    return {
        "steps": options.steps,
        "width": options.width,
        "batch": options.batch,
        "networks": options.networks,
        "gradient": "reversible" if options.reversible else "stored",
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    export = commands.add_parser("export")
    export.set_defaults(action=export_step)
    export.add_argument("folder", type=pathlib.Path)
    export.add_argument("--steps", type=int, default=32)
    export.add_argument("--width", type=int, default=512)
    export.add_argument("--batch", type=int, default=64)
    export.add_argument("--networks", choices=POLICIES, default="float32")
    export.add_argument("--reversible", action="store_true")
    run = commands.add_parser("run")
    run.set_defaults(action=run_step)
    run.add_argument("folder", type=pathlib.Path)
    run.add_argument("--repeats", type=int, default=20)
    run.add_argument("--peak-tflops", type=float, help="the chip's peak, for its share")
    return parser.parse_args()


if __name__ == "__main__":
    main()
