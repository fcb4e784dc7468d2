"""The whole training step compiled by the TPU compiler for a v5e; needs no TPU.

    python -m benchmarks.tpu --steps 4 32 --width 128
    python -m benchmarks.tpu --flow jet --steps 8 64 --width 128
    python -m benchmarks.tpu --flow tarflow --steps 4 --width 128

TensorFlow exports the program in one process and JAX's libtpu compiles it in another.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import tempfile

from benchmarks.common import Worker, report, serve, worker_option
from benchmarks.compilers import compile_for, to_stablehlo

KEYS = ("flow", "gradient", "steps", "width", "batch", "networks")
# How each flow saves memory, and what its gradient is called then.
SAVING = {
    "glow": ("reversible", "reversible"),
    "jet": ("reversible", "reversible"),
    "tarflow": ("memory_saving", "recomputed"),
}


def main() -> None:
    """Measures every configuration asked for, or works for such a measurement."""
    options = _options()
    if options.worker:
        _work(**options.worker)
        return
    for steps, saving in itertools.product(options.steps, (False, True)):
        sizes = {"steps": steps, "width": options.width, "batch": options.batch}
        model = {"flow": options.flow, **sizes, "networks": options.networks}
        argument, gradient = SAVING[options.flow]
        compiled = export_and_compile(
            "tpu", {**model, argument: saving}, jax_python=options.jax_python
        )
        configuration = {"gradient": gradient if saving else "stored", **model}
        report("tpu", [{**configuration, **compiled}], keys=KEYS)


def export_and_compile(target: str, model: dict, **python: str) -> dict:
    """What `compile_for` says of a model's training step, each half in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {"path": str(pathlib.Path(folder) / "step.hlo"), "target": target}
        with Worker("benchmarks.tpu", {**paths, "model": model}) as exporter:
            exporter.ask("export")
        interpreter = {"python": python["jax_python"]} if python.get("jax_python") else {}
        with Worker("benchmarks.tpu", paths, **interpreter) as compiler:
            return compiler.ask("compile")


def _work(*, path: str, target: str, model: dict | None = None) -> None:
    file = pathlib.Path(path)
    serve(
        {
            "export": lambda: file.write_bytes(_exported(target, **model)),
            "compile": lambda: compile_for(target, to_stablehlo(file.read_bytes())),
        }
    )


def _exported(target: str, *, batch: int, networks: str, flow: str = "glow", **options) -> bytes:
    from benchmarks.training import FLOWS, export

    made = FLOWS[flow](network_dtype=networks, **options)
    return export(made, batch=batch, backend="cpu_xla" if target == "cpu" else "accelerator").hlo


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flow", choices=tuple(SAVING), default="glow")
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 32])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--networks", default="float32", help="Keras dtype or policy")
    parser.add_argument("--jax-python", help="interpreter that has JAX, where this one has not")
    worker_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
