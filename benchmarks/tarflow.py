"""What a sample of TarFlow costs, with its cache of keys and values and without.

    python -m benchmarks.tarflow --tokens 16 64 256 --layers 2 4 8

One block of `flows.tarflow`: density of given data, sampling, and sampling that evaluates the whole
transformer once a token, in turns. Without the cache only the fewest layers are measured.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import time

import tensorflow as tf

from benchmarks.common import alternate, compare, report
from tfp_glow import flows
from tfp_glow.bijectors import AutoregressiveTokens

KEYS = ("task", "tokens", "layers", "width", "batch", "compiled")


def main() -> None:
    """Measures every size asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each variant")
    options = parser.parse_args()
    for tokens, layers in itertools.product(options.tokens, options.layers):
        sizes = {"tokens": tokens, "layers": layers, "width": options.width}
        for compiled in (False, True):
            configuration = {**sizes, "batch": options.batch, "compiled": compiled}
            uncached = layers == min(options.layers)
            rows = measure(**configuration, uncached=uncached, repeats=options.repeats)
            report("tarflow", rows, keys=KEYS)


def measure(
    *,
    tokens: int,
    layers: int,
    width: int,
    batch: int,
    compiled: bool,
    uncached: bool,
    repeats: int,
) -> list[dict]:
    """One row a task, as a ratio to the density."""
    side = 2 * math.isqrt(tokens)
    flow = flows.tarflow((side, side, 1), width=width, blocks=1, layers=layers, seed=0)
    z = tf.random.stateless_normal([batch, side**2], seed=[0, 1])
    x = tf.identity(flow.decode(z))
    tasks = {"density": (flow.log_prob, x), "sampling": (flow.decode, z)}
    if uncached:
        tasks["sampling without a cache"] = functools.partial(_one_pass_a_token, flow), z
    actions = {task: _timing(*call, compiled) for task, call in tasks.items()}
    alternate(actions, 1)  # Traced, and slower than the later calls.
    compared = compare(alternate(actions, repeats), "density")
    sizes = {"tokens": tokens, "layers": layers, "width": width, "batch": batch}
    return [
        {
            "task": task,
            **sizes,
            "compiled": compiled,
            "cpu_seconds": compared[task]["seconds"],
            "ratio_to_density": compared[task]["ratio"],
            "turns": repeats,
        }
        for task in tasks
    ]


def _timing(function, value, compiled: bool):
    """An action that tells the CPU seconds of a call, which others on the machine hardly change."""
    call = tf.function(function, jit_compile=compiled, autograph=False)

    def action() -> float:
        start = time.process_time()
        call(value).numpy()
        return time.process_time() - start

    return action


def _one_pass_a_token(flow, z):
    """The patches of samples, each from a pass over all of them."""
    *_, repeat, flatten = flow.bijector.bijectors
    with repeat.step_at(0) as step:
        block, backwards = step.bijectors
        latents = backwards.forward(flatten.forward(z))
        return _generated(block, latents)


def _generated(block: AutoregressiveTokens, z):
    def body(count, x):
        return count + 1, block._law.forward(z, block._network(x))[0]

    loop = (tf.constant(0), tf.zeros_like(z))
    return tf.while_loop(lambda count, _: count < z.shape[1], body, loop)[1]


if __name__ == "__main__":
    main()
