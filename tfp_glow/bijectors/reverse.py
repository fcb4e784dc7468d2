"""The reverse order."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_positive_int

__all__ = ["Reverse"]


class Reverse(FlowBijector):
    """Reverses the order along the first dimension of an event: x_i = z_{n-1-i}, with log-det 0.

    Between autoregressive maps it lets what came last come first. Unlike `tfb.Permute` it holds no
    permutation, and so takes events of any size, also within loops whose gradient is recomputed.

    Args:
      event_ndims: Rank of an event.
      name: Name of the bijector.

    Shapes: the same both ways.

    Raises:
      ValueError, TypeError: If `event_ndims` is no positive int.

    Example:

        Reverse().forward([[1.0, 2.0, 3.0]])     # [[3.0, 2.0, 1.0]]
    """

    def __init__(self, event_ndims: int = 1, *, name: str | None = None):
        super().__init__(
            forward_min_event_ndims=check_positive_int(event_ndims, "event_ndims"),
            is_constant_jacobian=True,
            name=name,
        )

    def _forward_and_log_det(self, z, condition=None):
        return tf.reverse(z, [-self.forward_min_event_ndims]), self.full_log_det(z, 0.0)

    def _inverse_and_log_det(self, x, condition=None):
        return self._forward_and_log_det(x)
