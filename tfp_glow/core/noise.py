"""Noise of estimators that can be repeated, and drawn anew."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from tfp_glow.core import modes
from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.noise_seed import first_noise_seed, local_noise_seed, next_noise_seed

__all__ = ["Noise", "NoisyBijector", "noise_like"]

Noise = Literal["rademacher", "gaussian"]


class NoisyBijector(FlowBijector):
    """A bijector whose log-det can be an estimate.

    The noise is a function of `noise_seed`, a saved variable, so that values can be repeated and
    gradients that evaluate again see the same noise. `advance` draws new noise; `FlowModel` calls
    it after each training step. A subclass says in `log_det_is_estimate` whether there is any.
    """

    def add_noise_seed(self, seed: int | None) -> None:
        """Creates the variable `noise_seed`; a subclass calls it once."""
        self.noise_seed = self.add_variable(
            first_noise_seed(seed), name="noise_seed", trainable=False, dtype="int32"
        )

    def drawn_seed(self):
        """The seed `[2]` of the noise of this pass."""
        return local_noise_seed(self.noise_seed, modes.current().draw)

    @property
    def advances(self) -> bool:
        return self.log_det_is_estimate or super().advances

    def advance(self) -> None:
        """Draws new noise and moves the network's norms on, once a training step."""
        if self.log_det_is_estimate:
            self.noise_seed.assign(next_noise_seed(self.noise_seed))
        super().advance()


def noise_like(x, kind: Noise, seed):
    """Values of mean 0 and variance 1 in the shape of x."""
    if kind == "gaussian":
        return tf.random.stateless_normal(tf.shape(x), seed, dtype=x.dtype)
    bits = tf.random.stateless_uniform(tf.shape(x), seed, maxval=2, dtype=tf.int32)
    return tf.cast(2 * bits - 1, x.dtype)
