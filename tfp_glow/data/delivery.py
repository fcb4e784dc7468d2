"""How data sets reach training: made ahead, and shared by the workers of `tf.distribute`."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["made_ahead", "replica_batches"]

AHEAD = 2


def made_ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches, two of them made ahead; of each, every worker takes its part.

    Left to itself TensorFlow may share the files that it finds instead, each with all that follows
    it: a range of examples, or an epoch. And it tunes what runs at the same time by a thread that
    sleeps for up to a minute, which the end of a data set can fail to wake, and then waits for.
    """
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    options.autotune.enabled = False
    return batches.prefetch(AHEAD).with_options(options)


def replica_batches(batches: tf.data.Dataset, replicas: int, size: int) -> tf.data.Dataset:
    """Each batch of a worker as one of `size` for each of its replicas; the last may be empty."""

    def split(*batch):
        batch = batch if len(batch) > 1 else batch[0]

        def of_replica(replica):
            start = replica * size
            return tf.nest.map_structure(lambda rows: rows[start : start + size], batch)

        return tf.data.Dataset.range(replicas).map(of_replica)

    return batches.flat_map(split)
