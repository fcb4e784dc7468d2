"""What bijectors around another one have in common."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector

__all__ = ["Wrapper"]


class Wrapper(FlowBijector):
    """A bijector around another, with its shapes and variables, in the same direction.

    A subclass writes the two methods of a `FlowBijector`.

    Args:
      bijector: The bijector inside.
      condition_shape: Event shape of the condition.
      name: Name of the bijector.

    Raises:
      TypeError: If `bijector` is no `FlowBijector`.
    """

    def __init__(
        self, bijector: FlowBijector, *, condition_shape: Iterable[int] | None, name: str | None
    ):
        if not isinstance(bijector, FlowBijector):
            raise TypeError(f"bijector must be a FlowBijector. Received: {bijector!r}.")
        super().__init__(
            forward_min_event_ndims=bijector.forward_min_event_ndims,
            inverse_min_event_ndims=bijector.inverse_min_event_ndims,
            condition_shape=condition_shape,
            dtype=bijector.dtype,
            name=name,
        )
        self._bijector = bijector

    @property
    def bijector(self) -> FlowBijector:
        """The bijector inside."""
        return self._bijector

    def _forward_event_shape(self, shape) -> tf.TensorShape:
        return self.bijector.forward_event_shape(shape)

    def _inverse_event_shape(self, shape) -> tf.TensorShape:
        return self.bijector.inverse_event_shape(shape)

    def _forward_event_shape_tensor(self, shape):
        return self.bijector.forward_event_shape_tensor(shape)

    def _inverse_event_shape_tensor(self, shape):
        return self.bijector.inverse_event_shape_tensor(shape)
