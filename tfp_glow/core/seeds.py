"""Seeds of samples."""

from __future__ import annotations

import numbers

import numpy as np
import tensorflow as tf

__all__ = ["stateless_seed"]

_SEED_BITS = 2**31 - 1


def stateless_seed(seed):
    """A seed that gives the same numbers at every call, where TFP's ints do not in eager mode.

    Args:
      seed: An int of any size, a pair of ints as TFP's stateless seeds are, or None.

    Raises:
      TypeError: If the seed is none of these.
    """
    if seed is None or tf.is_tensor(seed):
        return seed
    if np.ndim(seed) == 0 and isinstance(seed, numbers.Integral):
        seed = [int(seed) & _SEED_BITS, int(seed) >> 31 & _SEED_BITS]
    pair = np.asarray(seed)
    if pair.shape != (2,) or not np.issubdtype(pair.dtype, np.integer):
        raise TypeError(f"seed must be an int, two ints or None. Received: {seed!r}.")
    return tf.constant(pair.astype(np.int32))
