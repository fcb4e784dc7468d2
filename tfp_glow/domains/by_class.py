"""Tied latents of labelled data: a normal distribution for each class."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_number, check_positive_int
from tfp_glow.core.products import multiply_precisely
from tfp_glow.domains.tie import Tie

__all__ = ["ByClass"]


@keras.saving.register_keras_serializable("tfp_glow")
class ByClass(Tie):
    """Ties the latents of both domains by classes, which have fixed means m_c.

        z given class c ~ N(m_c, I)        of the tied latents of either side

    The classes have equal weight and their means equal distance. With the standard normal that the
    flow has for them,

        log p(x given c) = log p(x) + m_c z - |m_c|^2 / 2
        log p(c given x) = log softmax_c(m_c z - |m_c|^2 / 2)

    Where x of class c is encoded near m_c, y decoded from there is of class c as well.

    Args:
      num_classes: Number of classes, which the tied latents must be as many as.
      separation: Distance of any two means, in standard deviations of the latents.
      name: Name of the module.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    Example:

        domain_map = DomainMap(flow_x, flow_y, shared=64, tie=ByClass(10))

    References:
      Izmailov, Kirichenko, Finzi and Wilson, "Semi-Supervised Learning with Normalizing Flows",
      arXiv:1912.13025, for the mixture with fixed means.
    """

    def __init__(self, num_classes: int, *, separation: float = 8.0, name: str | None = None):
        super().__init__(name=name)
        check_positive_int(num_classes, "num_classes", least=2)
        self._num_classes = int(num_classes)
        self._separation = float(check_number(separation, "separation", above=0))

    def _build(self, size: int, dtype: tf.DType) -> None:
        if size < self._num_classes:
            raise ValueError(
                f"shared must be at least num_classes={self._num_classes}, so that the classes "
                f"have means at equal distances. Received: {size}."
            )
        random = np.random.default_rng(0).standard_normal([size, self._num_classes])
        orthonormal, _ = np.linalg.qr(random)
        self._means = tf.constant(self._separation / np.sqrt(2.0) * orthonormal.T, dtype)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self._num_classes

    @property
    def means(self) -> tf.Tensor:
        """m_c, `[num_classes, shared]`."""
        return self._means

    def logits(self, z):
        """log p(x given c) - log p(x) of each class, `[..., num_classes]`."""
        offsets = 0.5 * tf.reduce_sum(tf.square(self._means), -1)
        return multiply_precisely(z, tf.transpose(self._means)) - offsets

    def get_config(self) -> dict:
        return {"num_classes": self._num_classes, "separation": self._separation}
