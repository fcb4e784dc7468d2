"""Seeds of noise that stays as it is until a training step is over."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_glow.core.randomness import random_generator

__all__ = ["first_noise_seed", "local_noise_seed", "next_noise_seed"]

_INDICES = 2**16  # As far as the indices of one replica's noise may go.


def first_noise_seed(seed: int | None) -> np.ndarray:
    """The initial value `[2]` of a variable `noise_seed`."""
    return random_generator(seed).integers(2**31 - 1, size=2)


def local_noise_seed(noise_seed, index):
    """The stateless seed `[2]` of the noise with this index, another on each replica."""
    place = tf.cast(index, tf.int32) + _INDICES * _replica()
    return tf.convert_to_tensor(noise_seed) + tf.stack([place, 0])


def next_noise_seed(noise_seed):
    """The value of `noise_seed` for the next step."""
    return tf.convert_to_tensor(noise_seed) + tf.constant([0, 1])


def _replica():
    """The replica of `tf.distribute` that computes here, 0 where there are none."""
    context = tf.distribute.get_replica_context()
    return tf.cast(0 if context is None else context.replica_id_in_sync_group, tf.int32)
