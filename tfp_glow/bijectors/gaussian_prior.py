"""A learned, optionally class-conditional Gaussian prior, written as a bijector."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.class_conditional import one_hot_classes
from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.shapes import multiply_last

__all__ = ["GaussianPrior"]

BOUND = 5.0


class GaussianPrior(FlowBijector):
    """Maps standard normal noise to a normal with a learned mean and scale per channel.

        forward:  x = mean_y + exp(log_scale_y) * z      log|det dx/dz| =  sum(log_scale_y)
        inverse:  z = (x - mean_y) * exp(-log_scale_y)   log|det dz/dx| = -sum(log_scale_y)

    with mean_y = mean + class_mean[y], log_scale_y likewise under 5 tanh(. / 5), and the sum
    over channels and positions. All start at zero: the standard normal.

    Args:
      channels: Size of the last dimension.
      num_classes: Number of classes y of the condition, or None for no condition.
      event_ndims: 3 for images, 1 for vectors.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Shapes: `[..., H, W, channels]` or `[..., channels]` both ways; the condition holds class
    ids `[...]`, integers from 0 to num_classes - 1.

    Raises:
      ValueError, TypeError: If an argument is no positive int, the condition is no integer, or
        a class id is out of range. In compiled code, where no error can be raised, an id out
        of range gives NaN.

    Example:

        prior = GaussianPrior(48, num_classes=10)
        x = prior.forward(tf.random.normal([2, 4, 4, 48]), condition=[3, 7])

    References:
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039, appendix B.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_classes: int | None = None,
        event_ndims: int = 3,
        dtype: str = "float32",
        name: str | None = None,
    ):
        check_positive_int(event_ndims, "event_ndims")
        if num_classes is not None:
            check_positive_int(num_classes, "num_classes")
        super().__init__(
            forward_min_event_ndims=event_ndims,
            channels=channels,
            condition_shape=None if num_classes is None else (),
            dtype=dtype,
            is_constant_jacobian=num_classes is None,
            name=name,
        )
        self._num_classes = num_classes
        self.mean = self.add_variable(np.zeros(channels), name="mean")
        self.log_scale = self.add_variable(np.zeros(channels), name="log_scale")
        if num_classes is not None:
            table = np.zeros([num_classes, channels])
            self.class_mean = self.add_variable(table, name="class_mean")
            self.class_log_scale = self.add_variable(table, name="class_log_scale")

    @property
    def num_classes(self) -> int | None:
        return self._num_classes

    def _forward_and_log_det(self, z, condition=None):
        mean, log_scale = self._mean_and_log_scale(condition)
        return mean + tf.exp(log_scale) * z, self._log_det(z, log_scale)

    def _inverse_and_log_det(self, x, condition=None):
        mean, log_scale = self._mean_and_log_scale(condition)
        return (x - mean) * tf.exp(-log_scale), -self._log_det(x, log_scale)

    def _mean_and_log_scale(self, condition):
        mean, log_scale = tf.convert_to_tensor(self.mean), tf.convert_to_tensor(self.log_scale)
        if condition is not None:
            one_hot = one_hot_classes(condition, self.class_ids, self.dtype, self.name)
            positions = [1] * (self.forward_min_event_ndims - 1)
            mean += _row_of_class(one_hot, self.class_mean, positions)
            log_scale += _row_of_class(one_hot, self.class_log_scale, positions)
        return mean, BOUND * tf.tanh(log_scale / BOUND)

    def _log_det(self, value, log_scale):
        axes = list(range(-self.forward_min_event_ndims, 0))
        return tf.reduce_sum(log_scale + tf.zeros_like(value), axes)


def _row_of_class(one_hot, table, positions: list[int]):
    """The class's row of a table `[num_classes, channels]`, as `[..., 1, 1, channels]`."""
    row = multiply_last(one_hot, table)
    shape = tf.shape(row)
    return tf.reshape(row, tf.concat([shape[:-1], positions, shape[-1:]], 0))
