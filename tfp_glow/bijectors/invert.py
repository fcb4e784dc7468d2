"""A bijector with its directions exchanged."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.passes import FORWARD, INVERSE

__all__ = ["Invert"]

tfb = tfp.bijectors


class Invert(FlowBijector):
    """The inverse of a bijector, in one pass and with its condition and variables.

        forward(z) = bijector.inverse(z)        inverse(x) = bijector.forward(x)

    Unlike `tfb.Invert` it hands `condition` on and takes part in initialization from data,
    which for it means only to pass the data on: the data of the bijector inside are latents.

    Args:
      bijector: A bijector of this package or of TFP.
      name: Name of the bijector.

    Raises:
      TypeError: If `bijector` is no `tfb.Bijector`.

    Example:

        inverse_autoregressive_flow = Invert(MaskedAutoregressive(MADE(4)))
    """

    def __init__(self, bijector: tfb.Bijector, *, name: str | None = None):
        if not isinstance(bijector, tfb.Bijector):
            raise TypeError(f"bijector must be a tfb.Bijector. Received: {bijector!r}.")
        super().__init__(
            forward_min_event_ndims=bijector.inverse_min_event_ndims,
            inverse_min_event_ndims=bijector.forward_min_event_ndims,
            condition_shape=getattr(bijector, "condition_shape", None),
            dtype=bijector.dtype,
            is_constant_jacobian=bijector.is_constant_jacobian,
            name=name,
        )
        self._bijector = bijector

    @property
    def bijector(self) -> tfb.Bijector:
        """The bijector inside."""
        return self._bijector

    def _forward_and_log_det(self, z, condition=None):
        return INVERSE(self.bijector, z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return FORWARD(self.bijector, x, condition)

    def _forward_event_shape(self, shape) -> tf.TensorShape:
        return self.bijector.inverse_event_shape(shape)

    def _inverse_event_shape(self, shape) -> tf.TensorShape:
        return self.bijector.forward_event_shape(shape)

    def _forward_event_shape_tensor(self, shape):
        return self.bijector.inverse_event_shape_tensor(shape)

    def _inverse_event_shape_tensor(self, shape):
        return self.bijector.forward_event_shape_tensor(shape)
