"""Space to depth."""

from __future__ import annotations

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.shapes import with_one_batch_dimension

__all__ = ["Squeeze"]


class Squeeze(FlowBijector):
    """Folds each `factor` x `factor` patch of an image into channels.

        inverse:  z[h, w, (i * factor + j) * C + c] = x[h * factor + i, w * factor + j, c]
        forward:  the same read backwards; both log-dets are 0.

    This is the order of `tf.nn.space_to_depth`: row of the patch, column, channel.

    Args:
      factor: Side of a patch.
      name: Name of the bijector.

    Shapes: x `[..., H, W, C]`, z `[..., H / factor, W / factor, C * factor**2]`.

    Raises:
      ValueError, TypeError: If `factor` is no positive int or does not divide the image.

    Example:

        z = Squeeze(2).inverse(tf.zeros([8, 32, 32, 3]))    # [8, 16, 16, 12]

    References:
      Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv:1605.08803,
      section 3.6.
    """

    def __init__(self, factor: int = 2, *, name: str | None = None):
        check_positive_int(factor, "factor")
        super().__init__(forward_min_event_ndims=3, is_constant_jacobian=True, name=name)
        self._factor = factor

    def _forward_and_log_det(self, z, condition=None):
        self._forward_event_shape(z.shape[-3:])  # Raises where the factor does not divide.
        return self._rearranged(tf.nn.depth_to_space, z), self.full_log_det(z, 0.0)

    def _inverse_and_log_det(self, x, condition=None):
        self._inverse_event_shape(x.shape[-3:])
        return self._rearranged(tf.nn.space_to_depth, x), self.full_log_det(x, 0.0)

    def _rearranged(self, rearrange, value):
        if self._factor == 1:
            return tf.identity(value)
        return with_one_batch_dimension(lambda v: rearrange(v, self._factor), value, 3)

    def _forward_event_shape(self, shape):
        height, width, channels = tf.TensorShape(shape).with_rank(3)
        f = self._factor
        return tf.TensorShape(
            [_times(height, f), _times(width, f), self._divided(channels, f**2, "channels")]
        )

    def _inverse_event_shape(self, shape):
        height, width, channels = tf.TensorShape(shape).with_rank(3)
        f = self._factor
        sides = [self._divided(height, f, "height"), self._divided(width, f, "width")]
        return tf.TensorShape([*sides, _times(channels, f**2)])

    def _forward_event_shape_tensor(self, shape):
        f = self._factor
        return tf.stack([shape[0] * f, shape[1] * f, shape[2] // f**2])

    def _inverse_event_shape_tensor(self, shape):
        f = self._factor
        return tf.stack([shape[0] // f, shape[1] // f, shape[2] * f**2])

    def _divided(self, size: int | None, divisor: int, what: str) -> int | None:
        if size is not None and size % divisor:
            raise ValueError(
                f"{self.name} with factor={self._factor} needs a {what} divisible by {divisor}. "
                f"Received: {what} {size}."
            )
        return None if size is None else size // divisor


def _times(size: int | None, factor: int) -> int | None:
    return None if size is None else size * factor
