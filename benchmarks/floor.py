"""The training step against its coupling networks alone: what the flow around them costs.

    python -m benchmarks.floor --steps 4 16 32 --width 128 512 --repeats 9

All variants live in one process and take turns, one step each.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable

import keras
import tensorflow as tf

from benchmarks.common import alternate, compare, level_shapes, random_images, report, timed
from benchmarks.training import LEARNING_RATE, glow, train_step
from tfp_glow.networks import GlowNetwork

KEYS = ("variant", "steps", "width", "batch")


def main() -> None:
    """Measures every configuration asked for."""
    options = _options()
    for steps, width in itertools.product(options.steps, options.width):
        print(f"\nsteps {steps}, width {width}, batch {options.batch}", flush=True)
        rows = measure(
            options.variants, options.repeats, steps=steps, width=width, batch=options.batch
        )
        report("floor", rows, keys=KEYS)
        keras.backend.clear_session()


def measure(variants: list[str], repeats: int, *, steps: int, width: int, batch: int) -> list[dict]:
    """One row a variant, all of them timed in turns."""
    calls = {name: VARIANTS[name](steps=steps, width=width, batch=batch) for name in variants}
    first = {name: timed(call) for name, call in calls.items()}
    actions = {name: lambda call=call: timed(call) for name, call in calls.items()}
    alternate(actions, 1)  # A graph's first calls are slower than the later ones.
    compared = compare(alternate(actions, repeats), "networks")
    return [
        {
            "variant": name,
            "steps": steps,
            "width": width,
            "batch": batch,
            "first_step_s": first[name],
            "step_s": compared[name]["seconds"],
            "ratio_to_networks": compared[name]["ratio"],
            "turns": repeats,
        }
        for name in variants
    ]


def _flow_step(*, steps: int, width: int, batch: int, jit: bool = False, **options) -> Callable:
    flow, x = glow(steps=steps, width=width, **options), random_images(batch)
    flow.initialize(x)
    step, x = train_step(flow, jit=jit), tf.constant(x)
    return lambda: step(x).numpy()


def _networks_step(*, steps: int, width: int, batch: int) -> Callable:
    """All coupling networks one after the other: sum of squares, gradients, update."""
    networks, inputs = [], []
    for *positions, channels in level_shapes() * steps:
        shape = (*positions, channels // 2)
        networks.append(GlowNetwork(channels, hidden_channels=width, inputs=shape))
        inputs.append(tf.random.normal((batch, *shape)))
    variables = [v for network in networks for v in network.trainable_variables]
    optimizer = keras.optimizers.Adamax(LEARNING_RATE)
    optimizer.build(variables)

    @tf.function
    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = [n(x) for n, x in zip(networks, inputs, strict=True)]
            loss = tf.add_n([tf.reduce_sum(y**2) for y in outputs])
        values = [v.value for v in variables]
        of_inputs, of_variables = tape.gradient(loss, (inputs, values))
        optimizer.apply(of_variables, variables)
        return loss, of_inputs

    return lambda: step(inputs)[0].numpy()


def _variant(**options) -> Callable:
    return functools.partial(_flow_step, **options)


VARIANTS = {
    "networks": _networks_step,
    "flow": _variant(),
    "flow reversible": _variant(reversible=True),
    "flow jit": _variant(jit=True),
    "flow reversible jit": _variant(reversible=True, jit=True),
    "flow bfloat16": _variant(network_dtype="mixed_bfloat16"),
    "flow bfloat16 reversible": _variant(network_dtype="mixed_bfloat16", reversible=True),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 16, 32])
    parser.add_argument("--width", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9, help="turns of each variant")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
