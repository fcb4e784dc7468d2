"""How graph, tracing, compilation and memory grow with depth, looped and unrolled.

    python -m benchmarks.depth --steps 4 8 16 32 64 --xla
    python -m benchmarks.depth --flow jet --steps 8 64 --modes "loop" "loop reversible"

Every configuration is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import time

from benchmarks.common import (
    Worker,
    peak_rss,
    random_images,
    report,
    serve,
    timed,
    worker_option,
)
from benchmarks.tpu import export_and_compile

MODES = {
    "loop": {},
    "loop reversible": {"reversible": True},
    "unrolled": {"unroll": True},
}


def main() -> None:
    """Measures every configuration asked for, or one of them as a worker."""
    options = _options()
    if options.worker:
        serve({"measure": lambda: _measure(**options.worker)})
        return
    for steps, mode in itertools.product(options.steps, options.modes):
        sizes = {"steps": steps, "width": options.width, "batch": options.batch}
        sizes["flow"] = options.flow
        with Worker("benchmarks.depth", {"mode": mode, **sizes}) as worker:
            row = {"mode": mode, **sizes, **worker.ask("measure")}
        if options.xla:
            model = {**sizes, "networks": "float32", **MODES[mode]}
            row |= _of_xla(export_and_compile("cpu", model, jax_python=options.jax_python))
        report("depth", [row], keys=("mode", *sizes))


def _measure(*, mode: str, flow: str, batch: int, **sizes) -> dict:
    """Builds a flow, traces its training step and runs it once."""
    import tensorflow as tf

    from benchmarks.training import FLOWS, train_step

    x, start = tf.constant(random_images(batch)), time.perf_counter()
    flow = FLOWS[flow](**sizes, **MODES[mode])
    built = time.perf_counter()
    flow.initialize(x)
    initialized, step = time.perf_counter(), train_step(flow)
    trace_s = timed(lambda: step.get_concrete_function(x))
    return {
        "build_s": built - start,
        "initialize_s": initialized - built,
        "nodes": _nodes(step.get_concrete_function(x).graph.as_graph_def()),
        "trace_s": trace_s,
        "first_step_s": trace_s + timed(lambda: step(x).numpy()),
        "peak_rss_gb": peak_rss(),
    }


def _nodes(graph) -> int:
    """Nodes of a graph and of the functions that it calls."""
    return len(graph.node) + sum(len(f.node_def) for f in graph.library.function)


def _of_xla(compiled: dict) -> dict:
    return {f"xla_{key}": compiled[key] for key in ("compile_s", "code_mb", "temporaries_mb")}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--flow", default="glow", help="glow or jet")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--xla", action="store_true", help="compile by XLA for the CPU too")
    parser.add_argument("--jax-python", help="interpreter that has JAX, where this one has not")
    worker_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
