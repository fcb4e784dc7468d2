"""What models ask of `tf.distribute`: variables of one strategy, equal on all workers."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

__all__ = ["average_over_replicas", "check_made_in_scope", "take_from_first_worker"]


def check_made_in_scope(variables: Iterable[tf.Variable]) -> None:
    """Raises where a strategy is in force and variables were made outside of its scope.

    Raises:
      ValueError: With the names of such variables.
    """
    if not tf.distribute.has_strategy():
        return
    made_here = tf.distribute.get_strategy().extended.variable_created_in_scope
    foreign = [v.name for v in variables if not made_here(v)]
    if foreign:
        raise ValueError(
            "distribution must be made inside of the strategy's scope, as the model is. "
            f"Received: variables from outside of it, {foreign[:3]}."
        )


def take_from_first_worker(variables: Iterable[tf.Variable], strategy: tf.distribute.Strategy):
    """Gives variables on all workers of a strategy the values of the first one's.

    Does nothing where there is one worker.
    """
    resolver = strategy.cluster_resolver
    if not _spans_workers(strategy):
        return
    share = 1 if resolver.task_id == 0 else 0
    # Collectives know no booleans.
    values = [tf.cast(v, tf.int32) if v.dtype.is_bool else tf.identity(v) for v in variables]

    @tf.function(autograph=False)
    def from_first():
        def add():
            context = tf.distribute.get_replica_context()
            # Not by a product, since NaN of another worker would stay NaN.
            owned = [value if share else tf.zeros_like(value) for value in values]
            # One by one, since those of a list must be of one dtype.
            return [context.all_reduce(tf.distribute.ReduceOp.SUM, value) for value in owned]

        return strategy.run(add)

    for variable, value in zip(variables, from_first(), strict=True):
        value = strategy.experimental_local_results(value)[0]
        replicas = len(strategy.extended.worker_devices)
        value = value // replicas if value.dtype.is_integer else value / replicas
        variable.assign(tf.cast(value, variable.dtype))


def average_over_replicas(logs: dict, strategy: tf.distribute.Strategy) -> dict:
    """A step's logs as Keras can average them over several workers.

    It takes the mean over the first dimension there, which its own scalars do not have.
    """
    if not _spans_workers(strategy):
        return logs
    return tf.nest.map_structure(lambda value: tf.reshape(value, [1]), logs)


def _spans_workers(strategy: tf.distribute.Strategy) -> bool:
    resolver = getattr(strategy, "cluster_resolver", None)
    is_collective = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return is_collective and bool(resolver.cluster_spec().as_dict())
