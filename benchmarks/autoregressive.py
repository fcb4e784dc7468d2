"""What the slow direction of an autoregressive flow costs beside the fast one.

    python -m benchmarks.autoregressive --sizes 16 64 256 784 --peers-python /path/to/python

Densities of given data and sampling with `flows.maf` and `flows.iaf`, in turns, as graphs and
compiled by XLA, in seconds of CPU, which others on the machine change less than those of a clock.
Beside them, the same networks evaluated whole for each value, or until the values stay;
`tfb.MaskedAutoregressiveFlow`; and, where there is a Python with zuko and normflows, theirs.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks.autoregressive_torch import cpu_seconds
from benchmarks.common import Worker, alternate, compare, report
from tfp_glow import Flow, flows
from tfp_glow.bijectors import Chain, MaskedAutoregressive

tfb, tfd = tfp.bijectors, tfp.distributions

KEYS = ("flow", "task", "compiler", "size", "batch")
TORCH = ("zuko", "normflows")


def main() -> None:
    """Measures every size asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--repeats", type=int, default=9, help="turns of each variant")
    parser.add_argument("--peers-python", help="Python that has torch, zuko and normflows")
    options = parser.parse_args()
    for size in options.sizes:
        rows = measure(size, options.repeats, options.peers_python)
        report("autoregressive", rows, keys=KEYS)


def sizes_of(size: int) -> dict[str, int]:
    """Of a flow: for as many values as MNIST has one wider network."""
    steps, hidden, batch = (1, 1024, 100) if size > 512 else (5, 256, 256)
    return {"size": size, "steps": steps, "hidden": hidden, "batch": batch}


def measure(size: int, repeats: int, peers_python: str | None) -> list[dict]:
    """One row a flow, task and compiler, as a ratio to the fast direction of the same flow."""
    sizes = sizes_of(size)
    actions = _tensorflow_actions(**sizes)
    with contextlib.ExitStack() as stack:
        for peer in TORCH if peers_python else ():
            options = {"flow": peer, **sizes}
            worker = Worker("benchmarks.autoregressive_torch", options, python=peers_python)
            stack.enter_context(worker)
            for task in ("density", "sampling"):
                actions[peer, task, ""] = lambda worker=worker, task=task: worker.ask(task)
        first = alternate(actions, 1)  # Traced and compiled, and slower than the later calls.
        seconds = alternate(actions, repeats)
    return [
        {
            **dict(zip(KEYS, (*key, size, sizes["batch"]), strict=True)),
            "first_seconds": first[key][0],
            "seconds": compare(seconds, _reference(key))[key]["seconds"],
            "ratio": compare(seconds, _reference(key))[key]["ratio"],
            "turns": repeats,
        }
        for key in actions
    ]


def _reference(key: tuple[str, str, str]) -> tuple[str, str, str]:
    """What a row is a ratio to: the fast direction, for all our flows that of MAF."""
    flow, _, compiler = key
    if flow == "normflows":  # Samples of its masked autoregressive flow are fast.
        return flow, "sampling", compiler
    return (flow if flow in ("zuko", "tfb") else "maf", "density", compiler)


def _tensorflow_actions(
    size: int, steps: int, hidden: int, batch: int
) -> dict[tuple, Callable[[], float]]:
    options = {"steps": steps, "hidden_units": (hidden,), "marginal_bins": None, "seed": 0}
    maf, iaf = flows.maf(size, **options), flows.iaf(size, **options)
    whole, until_they_stay = _other(maf, WholeForEachValue), _other(maf, _opaque)
    tasks = {
        ("maf", "density"): maf.log_prob,
        ("maf", "sampling"): maf.sample,
        ("iaf", "density"): iaf.log_prob,
        ("iaf", "sampling"): iaf.sample,
        ("maf, a pass for each value", "sampling"): whole.sample,
        ("maf, until the values stay", "sampling"): until_they_stay.sample,
    }
    x = tf.random.stateless_normal([batch, size], seed=[0, 1])
    actions = {
        (*key, "xla" if compiled else "graph"): _timed_function(key[1], call, x, compiled)
        for key, call in tasks.items()
        for compiled in (False, True)
    }
    stock = _stock(size, steps, hidden)
    for task, call in (("density", stock.log_prob), ("sampling", stock.sample)):
        actions["tfb", task, "graph"] = _timed_function(task, call, x, False)
    return actions


def _timed_function(task: str, call: Callable, x, jit_compile: bool) -> Callable[[], float]:
    @tf.function(jit_compile=jit_compile, autograph=False)
    def run():
        return call(x) if task == "density" else call(x.shape[0], seed=1)

    return lambda: cpu_seconds(lambda: run().numpy())


class WholeForEachValue(MaskedAutoregressive):
    """The network evaluated as often as there are values, as every other library does it."""

    def _forward_and_log_det(self, z, condition=None):
        def body(count, x, _):
            x, log_det = self._one_pass(z, x, condition)
            return count + 1, x, log_det

        state = (tf.constant(0), tf.zeros_like(z), tf.zeros_like(z))
        _, x, log_det = tf.while_loop(lambda count, *_: count < z.shape[-1], body, state)
        return x, tf.reduce_sum(log_det, -1)


def _opaque(network, **options) -> MaskedAutoregressive:
    return MaskedAutoregressive(lambda x: network(x), **options)


def _other(maf: Flow, make: Callable) -> Flow:
    """The same flow over the same networks, generated from in another way."""

    def changed(bijector):
        if isinstance(bijector, Chain):
            return Chain([changed(part) for part in bijector.bijectors])
        if isinstance(bijector, MaskedAutoregressive):
            parameters = bijector.parameters
            return make(bijector._network, law=parameters["law"], reach=parameters["reach"])
        return bijector

    return Flow(maf.distribution, changed(maf.bijector))


def _stock(size: int, steps: int, hidden: int) -> tfd.Distribution:
    """TFP's own, with its networks of Keras 2."""
    bijectors = [
        tfb.MaskedAutoregressiveFlow(
            tfb.AutoregressiveNetwork(
                params=2,
                event_shape=[size],
                hidden_units=[hidden],
                activation="relu",
                input_order="right-to-left" if index % 2 else "left-to-right",
            )
        )
        for index in range(steps)
    ]
    return tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), size), tfb.Chain(bijectors))


if __name__ == "__main__":
    main()
