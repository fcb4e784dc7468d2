"""What models ask of `tf.distribute`: variables of one strategy, equal on all workers."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

__all__ = [
    "averageable_logs",
    "check_made_in_scope",
    "is_first_worker",
    "mean_over_replicas",
    "rows_of_replicas",
    "spans_workers",
    "take_from_first_worker",
]


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


def spans_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy is one of several processes, each on a machine of its own or not."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    cluster = strategy.cluster_resolver.cluster_spec()
    return sum(cluster.num_tasks(job) for job in cluster.jobs if job in ("chief", "worker")) > 1


def is_first_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that speaks for all, as it is where there is but one."""
    if not spans_workers(strategy):
        return True
    resolver = strategy.cluster_resolver
    leading = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (leading, 0)


def take_from_first_worker(
    variables: Iterable[tf.Variable], strategy: tf.distribute.Strategy
) -> None:
    """Gives variables on all workers of a strategy the values of the first one's.

    Does nothing where there is one worker.
    """
    if not spans_workers(strategy):
        return
    values = [_summable(variable) for variable in variables]

    def of_first():
        is_first = tf.equal(tf.distribute.get_replica_context().replica_id_in_sync_group, 0)
        return [tf.where(is_first, value, tf.zeros_like(value)) for value in values]

    @tf.function(autograph=False)
    def from_first():
        # One by one, since those of a list must be of one dtype.
        return [strategy.reduce("SUM", value, axis=None) for value in strategy.run(of_first)]

    for variable, value in zip(variables, from_first(), strict=True):
        variable.assign(tf.cast(value, variable.dtype))


def _summable(variable: tf.Variable) -> tf.Tensor:
    """Its value, as a type that collective operations know, unlike booleans."""
    return tf.cast(variable, tf.int32) if variable.dtype.is_bool else tf.identity(variable)


def rows_of_replicas(batch):
    """A batch of a distributed data set with the rows of all replicas of this worker in one."""

    def joined(rows):
        is_distributed = isinstance(rows, tf.distribute.DistributedValues)
        return tf.concat(rows.values, 0) if is_distributed else rows

    return tf.nest.map_structure(joined, batch)


def mean_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """The mean over a replica's own examples, with the gradient of that over the examples of all.

    Where a last batch has fewer examples for some replicas, or none, the replicas' mean of these
    gradients is still that of one device, and so is the mean of these values when Keras weighs each
    by the number of its examples. It is the mean itself where there is one replica.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return tf.reduce_mean(values)
    total, own_count = tf.reduce_sum(values), tf.cast(tf.size(values), values.dtype)
    context = tf.distribute.get_replica_context()
    count = context.all_reduce(tf.distribute.ReduceOp.SUM, own_count)
    share = replicas * total / count
    return share + tf.stop_gradient(tf.math.divide_no_nan(total, own_count) - share)


def averageable_logs(logs: dict, strategy: tf.distribute.Strategy) -> dict:
    """A step's logs as Keras can average them over several workers.

    It takes the mean over the first dimension there, which its own scalars do not have.
    """
    if not spans_workers(strategy):
        return logs
    return tf.nest.map_structure(lambda value: tf.reshape(value, [1]), logs)
