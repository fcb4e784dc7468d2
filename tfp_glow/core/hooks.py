"""What TFP, and who calls a bijector, find on it; a subclass of `FlowBijector` need not know."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.arguments import bound_arguments
from tfp_glow.core.conditions import (
    check_class_ids,
    check_condition,
    check_condition_batch,
)
from tfp_glow.core.guard import guarded
from tfp_glow.core.holder import Holder
from tfp_glow.core.memory import Memory, current_moment
from tfp_glow.core.passes import FORWARD, INVERSE, OnePass, Pass
from tfp_glow.core.tracing import as_written

__all__ = ["Hooks"]

tfb = tfp.bijectors


class Hooks(Holder, OnePass):
    """Derives everything that TFP asks a bijector for from its two passes."""

    _cache = Memory()
    _last_moment = None
    _TF_MODULE_IGNORED_PROPERTIES = frozenset(
        {"_arguments", "_flags", "_hashed_moment", "_last_moment", "_parameters"}
        | Holder._TF_MODULE_IGNORED_PROPERTIES
        | tfb.Bijector._TF_MODULE_IGNORED_PROPERTIES
    )

    _NOT_COPIED = frozenset({"_hashed_moment", "_last_moment"} | Holder._NOT_COPIED)

    def __new__(cls, *args, **kwargs):
        bijector = super().__new__(cls, *args, **kwargs)
        bijector.__dict__["_arguments"] = bound_arguments(cls, args, kwargs)
        return bijector

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Event shape of the condition, None where the bijector takes none."""
        return self._condition_shape

    @property
    def num_classes(self) -> int | None:
        """Number of classes of a condition of class ids, None where there is none."""
        known = (part.num_classes for part in self._holders())
        return next((number for number in known if number is not None), None)

    @property
    def has_null_class(self) -> bool:
        """Whether the class id -1 stands for no class in particular; see `ClassConditional`."""
        return any(part.has_null_class for part in self._holders())

    @property
    def takes_guidance(self) -> bool:
        """Whether all parts that take a condition can be guided; see `core/guidance.py`."""
        parts = [part for part in self._holders() if part.condition_shape is not None]
        return bool(parts) and all(part.takes_guidance for part in parts)

    @property
    def class_ids(self) -> range | None:
        """The ids that a condition of class ids may hold, None where there is none."""
        if self.num_classes is None:
            return None
        return range(-1 if self.has_null_class else 0, self.num_classes)

    @as_written
    def forward_and_log_det(self, z, condition=None, *, event_ndims: int | None = None):
        """Returns `(x, log|det dx/dz|)` of one pass."""
        return self._public_pass(FORWARD, z, condition, event_ndims)

    @as_written
    def inverse_and_log_det(self, x, condition=None, *, event_ndims: int | None = None):
        """Returns `(z, log|det dz/dx|)` of one pass."""
        return self._public_pass(INVERSE, x, condition, event_ndims)

    def copy(self, **changed) -> Hooks:
        """The same bijector, or one built anew with some arguments changed."""
        return super().copy(**changed) if changed else self

    def __getitem__(self, slices) -> Hooks:
        return self  # The parameters have no batch dimensions to slice.

    def _public_pass(self, direction: Pass, value, condition, event_ndims: int | None):
        value = tf.convert_to_tensor(value, dtype_hint=self.dtype)
        condition = self._checked(direction, value, condition)
        transformed, log_det = guarded(direction, self, value, condition)
        return transformed, direction.summed(self, log_det, event_ndims)

    def _checked(self, direction: Pass, value, condition):
        """The condition as the two methods take it; raises where an argument does not fit."""
        ndims, rank = direction.min_event_ndims(self), value.shape.rank
        if rank is not None and rank < ndims:
            raise ValueError(
                f"{self.name}: {direction.argument} must have at least {ndims} dimensions. "
                f"Received: shape {tuple(value.shape)}."
            )
        condition = check_condition(condition, self._condition_shape, self.dtype, self.name)
        if condition is None:
            return None
        if rank is not None and condition.shape.rank is not None:
            batch, own_ndims = value.shape[: rank - ndims], len(self._condition_shape)
            check_condition_batch(condition, batch, own_ndims, self.name)
        if self.class_ids is not None:
            check_class_ids(condition, self.class_ids, self.name)
        return condition

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None) -> dict:
        return {}

    def _get_parameterization(self):
        return id(self) if self._is_unique else self.parameters

    def __hash__(self) -> int:
        """Another one when what passes depend on has changed; see `core/memory.py`."""
        if not self._is_unique:
            return super().__hash__()
        self.__dict__["_hashed_moment"] = current_moment(self)
        return hash((id(self), self._hashed_moment.number))

    @property
    def _is_unique(self) -> bool:
        return self.is_opaque or next(self.all_variables(), None) is not None
