"""Bytes that replicas exchange in a step of training, beside its arithmetic; runs no step.

    python -m benchmarks.distribution --batch 32 --tflops 100 --gbytes 50

Parameters and operations are counted in graphs of one and of two unrolled steps, and continued
along a straight line, since all steps are alike; the products inside of attention are left out. A
step of training counts as three forward passes. A ring of n replicas sends 2 (n - 1) / n times the
gradients' bytes from each.
"""

from __future__ import annotations

import argparse
import math

import tensorflow as tf

from benchmarks.common import IMAGE_SHAPE
from benchmarks.training import FLOWS
from tfp_glow import Flow

REPLICAS = (2, 8, 64)
# Steps and width: the benchmarks' own, that of the paper of Glow, and transformers.
MODELS = (
    ("glow", 8, 128),
    ("glow", 32, 512),
    ("jet", 64, 512),
)


def main() -> None:
    """Prints a row a model."""
    options = _options()
    for name, steps, width in MODELS:
        parameters, operations = counted(name, steps, width)
        compute = 3 * options.batch * operations / (1e12 * options.tflops)
        cells = [f"{name}, {steps} steps, {width} wide", f"{parameters / 1e6:.1f}"]
        cells.append(f"{3 * options.batch * operations / 1e12:.2f}")
        for replicas in REPLICAS:
            sent = 2 * (replicas - 1) / replicas * 4 * parameters
            exchange = sent / (1e9 * options.gbytes)
            cells.append(f"{sent / 1e6:.0f} MB, {exchange / compute:.1%}")
        print("| " + " | ".join(cells) + " |", flush=True)


def counted(name: str, steps: int, width: int) -> tuple[float, float]:
    """Parameters of a flow, and floating-point operations of one example's density."""
    unit = 2 if name == "jet" else 1  # A block of Jet is two couplings.
    flows = (FLOWS[name](steps=count * unit, width=width, unroll=True) for count in (1, 2))
    short, long = ((_parameters(flow), _operations(flow)) for flow in flows)
    more = steps // unit - 1
    return tuple(one + more * (two - one) for one, two in zip(short, long, strict=True))


def _parameters(flow: Flow) -> int:
    return sum(math.prod(v.shape) for v in flow.trainable_variables)


def _operations(flow: Flow) -> int:
    spec = tf.TensorSpec([1, *IMAGE_SHAPE])
    graph = tf.function(flow.log_prob, autograph=False).get_concrete_function(spec).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32, help="of one replica")
    parser.add_argument("--tflops", type=float, default=100.0, help="that a replica reaches")
    parser.add_argument("--gbytes", type=float, default=50.0, help="a second between replicas")
    return parser.parse_args()


if __name__ == "__main__":
    main()
