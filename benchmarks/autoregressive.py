"""Which direction of an autoregressive flow is fast.

    python -m benchmarks.autoregressive --sizes 16 64 256

Density of given data and sampling with `flows.maf` and `flows.iaf`, in turns, as graphs.
"""

from __future__ import annotations

import argparse

import tensorflow as tf

from benchmarks.common import alternate, compare, report, timed
from tfp_glow import Flow, flows

KEYS = ("flow", "task", "size", "batch")
BATCH = 256
RECIPES = {"maf": flows.maf, "iaf": flows.iaf}


def main() -> None:
    """Measures every size asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--repeats", type=int, default=9, help="turns of each variant")
    options = parser.parse_args()
    for size in options.sizes:
        report("autoregressive", measure(size, options.repeats), keys=KEYS)


def measure(size: int, repeats: int) -> list[dict]:
    """One row a flow and task, as a ratio to the density of MAF."""
    calls = {}
    for name, build in RECIPES.items():
        flow = build(size, steps=5, hidden_units=(256,), seed=0)
        calls |= {(name, task): call for task, call in _tasks(flow, size).items()}
    actions = {key: lambda call=call: timed(call) for key, call in calls.items()}
    alternate(actions, 1)  # Traced, and slower than the later calls.
    compared = compare(alternate(actions, repeats), ("maf", "density"))
    return [
        {
            "flow": name,
            "task": task,
            "size": size,
            "batch": BATCH,
            "seconds": compared[name, task]["seconds"],
            "ratio_to_maf_density": compared[name, task]["ratio"],
            "turns": repeats,
        }
        for name, task in calls
    ]


def _tasks(flow: Flow, size: int) -> dict:
    x = tf.random.stateless_normal([BATCH, size], seed=[0, 1])
    density = tf.function(lambda: flow.log_prob(x))
    sample = tf.function(lambda: flow.sample(BATCH, seed=1))
    return {"density": lambda: density().numpy(), "sampling": lambda: sample().numpy()}


if __name__ == "__main__":
    main()
