"""Random numbers of initial weights: of a seed, or of Keras' own state without one."""

from __future__ import annotations

import random

import numpy as np

from tfp_glow.core.checks import check_seed

__all__ = ["independent_seeds", "random_generator"]


def random_generator(seed: int | None) -> np.random.Generator:
    """NumPy's generator of `seed`; without one, of what `keras.utils.set_random_seed` decides."""
    return np.random.default_rng(_decided(seed))


def independent_seeds(seed: int | None, count: int) -> list[int]:
    """`count` seeds, drawn from `seed` or from what `keras.utils.set_random_seed` decides."""
    return np.random.SeedSequence(_decided(seed)).generate_state(count).tolist()


def _decided(seed: int | None) -> int:
    return random.getrandbits(64) if check_seed(seed) is None else seed
