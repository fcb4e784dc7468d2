"""Class ids as conditions."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector, initialize_part
from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.conditions import check_class_ids
from tfp_glow.core.passes import FORWARD, INVERSE
from tfp_glow.core.wrapper import Wrapper

__all__ = ["ClassConditional", "one_hot_classes"]


class ClassConditional(Wrapper):
    """Conditions a bijector that takes a vector on class ids, as one-hot vectors.

        forward(z, y) = bijector.forward(z, one_hot(y))     and so for inverse and the log-dets

    Args:
      bijector: A bijector with the condition shape `(num_classes,)`.
      num_classes: Number of classes.
      name: Name of the bijector.

    Shapes: those of the bijector; the condition holds ids `[...]` from 0 to num_classes - 1.

    Raises:
      ValueError: If the bijector takes no such vector, or an id is out of range. In compiled
        code, where no error can be raised, an id out of range gives NaN.
      TypeError: If the condition is no integer.

    Example:

        network = MLP(4, input_shape=(2,), condition_size=10)
        flow = ClassConditional(Coupling(network, condition_shape=(10,)), 10)
        flow.forward(z, condition=[3, 7])
    """

    def __init__(self, bijector: FlowBijector, num_classes: int, *, name: str | None = None):
        check_positive_int(num_classes, "num_classes")
        if getattr(bijector, "condition_shape", None) != (num_classes,):
            raise ValueError(
                f"bijector must have the condition shape {(num_classes,)}. "
                f"Received: {bijector!r} with {getattr(bijector, 'condition_shape', None)}."
            )
        super().__init__(bijector, condition_shape=(), name=name)
        self._num_classes = num_classes

    @property
    def num_classes(self) -> int:
        return self._num_classes

    def _forward_and_log_det(self, z, condition=None):
        return FORWARD(self.bijector, z, self._one_hot(condition))

    def _inverse_and_log_det(self, x, condition=None):
        return INVERSE(self.bijector, x, self._one_hot(condition))

    def _initialize(self, x, condition=None):
        return initialize_part(self.bijector, x, self._one_hot(condition))

    def _one_hot(self, condition):
        return one_hot_classes(condition, self._num_classes, self.dtype, self.name)


def one_hot_classes(condition, num_classes: int, dtype: tf.DType, name: str):
    """Class ids as `[..., num_classes]`; ids out of range, which are zeros, a pass makes NaN."""
    check_class_ids(condition, num_classes, name)
    return tf.one_hot(condition, num_classes, dtype=dtype)
