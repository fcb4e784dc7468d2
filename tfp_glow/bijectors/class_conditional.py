"""Class ids as conditions."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector, initialize_part
from tfp_glow.core.checks import check_number, check_positive_int
from tfp_glow.core.conditions import check_class_ids
from tfp_glow.core.label_dropout import LabelDropout
from tfp_glow.core.passes import FORWARD, INVERSE
from tfp_glow.core.wrapper import Wrapper

__all__ = ["ClassConditional", "one_hot_classes"]


class ClassConditional(Wrapper):
    """Conditions a bijector that takes a vector on class ids, as one-hot vectors.

        forward(z, y) = bijector.forward(z, one_hot(y))     and so for inverse and the log-dets

    With a `label_dropout` there is a null class as well, -1, whose vector is zero. Training
    replaces that share of the labels by it, so that one bijector learns the density of each class
    and that of all of them; `Flow.sample(guidance=)` samples by both. Examples whose
    class is not known may have the label -1 themselves.

    Args:
      bijector: A bijector with the condition shape `(num_classes,)`.
      num_classes: Number of classes.
      label_dropout: Share of the labels that training replaces by -1, from 0 to below 1.
      seed: Seed of which they are.
      name: Name of the bijector.

    Shapes: those of the bijector; the condition holds ids `[...]` from 0, or from -1 where there is
    a null class, to num_classes - 1.

    Raises:
      ValueError: If the bijector takes no such vector, or an id is out of range. In compiled
        code, where no error can be raised, an id out of range gives NaN.
      TypeError: If the condition is no integer.

    Example:

        network = MLP(4, inputs=(2,), condition_size=10)
        flow = ClassConditional(Coupling(network, condition_shape=(10,)), 10)
        flow.forward(z, condition=[3, 7])

    References:
      Ho and Salimans, "Classifier-Free Diffusion Guidance", arXiv:2207.12598, for the null class.
    """

    def __init__(
        self,
        bijector: FlowBijector,
        num_classes: int,
        *,
        label_dropout: float = 0.0,
        seed: int | None = None,
        name: str | None = None,
    ):
        check_positive_int(num_classes, "num_classes")
        check_number(label_dropout, "label_dropout", least=0, below=1)
        if getattr(bijector, "condition_shape", None) != (num_classes,):
            raise ValueError(
                f"bijector must have the condition shape {(num_classes,)}. "
                f"Received: {bijector!r} with {getattr(bijector, 'condition_shape', None)}."
            )
        super().__init__(bijector, condition_shape=(), name=name)
        self._num_classes = num_classes
        self._dropout = LabelDropout(label_dropout, seed=seed) if label_dropout else None

    @property
    def num_classes(self) -> int:
        return self._num_classes

    @property
    def has_null_class(self) -> bool:
        return self._dropout is not None

    def _forward_and_log_det(self, z, condition=None):
        return FORWARD(self.bijector, z, self._one_hot(condition))

    def _inverse_and_log_det(self, x, condition=None):
        return INVERSE(self.bijector, x, self._one_hot(condition))

    def _initialize(self, x, condition=None):
        return initialize_part(self.bijector, x, self._one_hot(condition))

    def _one_hot(self, condition):
        vectors = one_hot_classes(condition, self.class_ids, self.dtype, self.name)
        return vectors if self._dropout is None else self._dropout(vectors)


def one_hot_classes(condition, classes: range, dtype: tf.DType, name: str):
    """Class ids as `[..., num_classes]`; ids out of range, which are zeros, a pass makes NaN."""
    check_class_ids(condition, classes, name)
    return tf.one_hot(condition, classes.stop, dtype=dtype)
