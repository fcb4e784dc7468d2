"""A fixed order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_positive_int

__all__ = ["Permutation"]


class Permutation(FlowBijector):
    """Puts the values along one dimension into another order.

        inverse:  z[..., i, ...] = x[..., order[i], ...]
        forward:  x[..., order[i], ...] = z[..., i, ...];   both log-dets are 0.

    It differs from `tfb.Permute` in that the order is a variable, which no training changes: in a
    loop over depth every step has its own, and with random ones it mixes channels as a coupling
    flow needs it.

    Args:
      order: A permutation of 0 .. size - 1.
      event_ndims: Which dimension it is, counted from the last one, and the rank of an event: 1 for
        the channels, 2 for the tokens of `[tokens, channels]`.
      dtype: dtype of the values.
      name: Name of the bijector.

    Shapes: `[..., size]`, or `[..., size, channels]` with `event_ndims=2`, the log-det `[...]`.

    Raises:
      ValueError: If `order` is no permutation, or a value has another size there.

    Example:

        mixing = Permutation(np.random.default_rng(0).permutation(48))
        z = mixing.inverse(tf.zeros([8, 64, 48]))

    References:
      Kolesnikov, Pinto and Tschannen, "Jet: A Modern Transformer-Based Normalizing Flow",
      arXiv:2412.15129, section 3.
    """

    def __init__(
        self,
        order: Sequence[int],
        *,
        event_ndims: int = 1,
        dtype: str = "float32",
        name: str | None = None,
    ):
        order = np.asarray(order)
        if order.ndim != 1 or not np.array_equal(np.sort(order), np.arange(order.size)):
            raise ValueError(f"order must hold each of 0 .. size - 1 once. Received: {order}.")
        super().__init__(
            forward_min_event_ndims=check_positive_int(event_ndims, "event_ndims"),
            is_constant_jacobian=True,
            dtype=dtype,
            name=name,
        )
        self.order = self.add_variable(order, name="order", trainable=False, dtype="int32")

    def _forward_and_log_det(self, z, condition=None):
        order = tf.convert_to_tensor(self.order)
        return self._reordered(z, tf.argsort(order), order), self.full_log_det(z, 0.0)

    def _inverse_and_log_det(self, x, condition=None):
        order = tf.convert_to_tensor(self.order)
        return self._reordered(x, order, tf.argsort(order)), self.full_log_det(x, 0.0)

    def _reordered(self, value, order, back):
        size, axis = self.order.shape[0], value.shape.rank - self.forward_min_event_ndims
        if value.shape[axis] != size:
            raise ValueError(
                f"{self.name} reorders {size} values. Received: shape {tuple(value.shape)}."
            )
        return _gather(value, order, back, axis)


def _gather(value, order, back, axis: int):
    """`tf.gather`, whose gradient is the same in the other order, where TensorFlow's scatters."""

    @tf.custom_gradient
    def gather(value):
        return tf.gather(value, order, axis=axis), lambda g: _gather(g, back, order, axis)

    return gather(value)
