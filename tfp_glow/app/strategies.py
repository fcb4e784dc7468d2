"""The strategy of `tf.distribute` that a run trains by."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import tensorflow as tf

from tfp_glow.app.errors import UserError

__all__ = ["STRATEGIES", "new_strategy"]

_JOBS = ("chief", "worker")
_EXAMPLE = {
    "cluster": {"worker": ["first:2222", "second:2222"]},
    "task": {"type": "worker", "index": 0},
}


def new_strategy(name: str, report: Callable) -> tf.distribute.Strategy:
    """The strategy of that name, which must be made before anything else that TensorFlow runs.

    Args:
      name: One of `STRATEGIES`. `"multiworker"` waits until all workers have come here.
      report: Called with a line of text where there is something to wait for.

    Raises:
      UserError: If what tells a worker who it is, in TF_CONFIG, is missing or wrong, or there is no
        TPU.
    """
    return STRATEGIES[name](report)


def _none(report: Callable) -> tf.distribute.Strategy:
    return tf.distribute.get_strategy()


def _mirrored(report: Callable) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy()


def _multiworker(report: Callable) -> tf.distribute.Strategy:
    text = os.environ.get("TF_CONFIG")
    fault = "none" if text is None else _fault_of(text)
    if fault:
        raise UserError(
            "strategy multiworker needs TF_CONFIG, which tells a worker the addresses of all and "
            f"its own index, as in export TF_CONFIG='{json.dumps(_EXAMPLE)}'. Received: {fault}."
        )
    report("Waiting until all workers are here.")
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise UserError(f"strategy multiworker could not join the workers: {error}") from error


def _tpu(report: Callable) -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(name)
        return tf.distribute.TPUStrategy(resolver)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(
            "strategy tpu needs a TPU of this machine, or the name of another in TPU_NAME. "
            f"Received: TPU_NAME {name!r}, of which TensorFlow says: {str(error)[:80]}."
        ) from error


def _fault_of(text: str) -> str | None:
    """What is wrong with a TF_CONFIG, None if it tells a worker who it is."""
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        addresses = cluster[task["type"]]
        known = set(cluster) <= set(_JOBS) and all(map(_are_addresses, cluster.values()))
        if known and int(task["index"]) in range(len(addresses)):
            return None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return text or "an empty text"


def _are_addresses(addresses) -> bool:
    return isinstance(addresses, list) and all(
        isinstance(address, str) and address.rpartition(":")[2].isdigit() for address in addresses
    )


STRATEGIES = {
    "none": _none,
    "mirrored": _mirrored,
    "multiworker": _multiworker,
    "tpu": _tpu,
}
