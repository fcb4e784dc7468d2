"""What a network makes of a condition, as the condition of a bijector."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector, initialize_part
from tfp_glow.core.checks import check_sizes
from tfp_glow.core.passes import FORWARD, INVERSE
from tfp_glow.core.shapes import with_one_batch_dimension
from tfp_glow.core.wrapper import Wrapper

__all__ = ["Conditioned"]


class Conditioned(Wrapper):
    """Conditions a bijector that takes a vector on what a network makes of an observation.

        forward(z, y) = bijector.forward(z, network(y))     and so for inverse and the log-dets

    Gradients reach the network, so that it learns what the bijector needs to know of y: a summary
    of a series, of a set or of an image.

    Args:
      bijector: A bijector with a condition shape `(k,)`.
      condition_network: A Keras layer or model, built or not, from `[batch, *condition_shape]` to
        `[batch, k]`.
      condition_shape: Event shape of the observation y.
      name: Name of the bijector.

    Shapes: those of the bijector; the condition is `[..., *condition_shape]`.

    Raises:
      TypeError: If `condition_network` is no Keras layer.
      ValueError: If the bijector takes no vector, or the network gives another shape.

    Example:

        network = keras.Sequential([keras.layers.GRU(16), keras.layers.Dense(8)])
        flow = Conditioned(Coupling(factory, event_shape=2, condition_shape=(8,)), network, (50, 3))
        flow.forward(z, condition=series)
    """

    def __init__(
        self,
        bijector: FlowBijector,
        condition_network: keras.layers.Layer,
        condition_shape: Iterable[int],
        *,
        name: str | None = None,
    ):
        super().__init__(
            bijector, condition_shape=check_sizes(condition_shape, "condition_shape"), name=name
        )
        self._check_network(condition_network)
        self._network = condition_network

    @property
    def condition_network(self) -> keras.layers.Layer:
        """The network."""
        return self._network

    @property
    def num_classes(self) -> None:
        return None  # Of the network's outputs, should the bijector take classes, none is an id.

    def _forward_and_log_det(self, z, condition=None):
        return FORWARD(self.bijector, z, self._features(condition))

    def _inverse_and_log_det(self, x, condition=None):
        return INVERSE(self.bijector, x, self._features(condition))

    def _initialize(self, x, condition=None):
        return initialize_part(self.bijector, x, self._features(condition))

    def _features(self, condition):
        ndims = len(self.condition_shape)
        if condition.shape.rank == ndims:  # One observation for all examples.
            return self._features(condition[tf.newaxis])[0]
        features = with_one_batch_dimension(self._network, condition, ndims)
        return tf.cast(features, self.dtype)

    def _check_network(self, network) -> None:
        if not isinstance(network, keras.layers.Layer):
            raise TypeError(f"condition_network must be a Keras layer. Received: {network!r}.")
        wanted = getattr(self.bijector, "condition_shape", None)
        if wanted is None or len(wanted) != 1:
            raise ValueError(
                "bijector must take a vector as its condition, as flows with a condition_size do. "
                f"Received: {self.bijector!r} with the condition shape {wanted}."
            )
        given = network(tf.zeros([1, *self.condition_shape], self.dtype)).shape
        if tuple(given) != (1, *wanted):
            raise ValueError(
                f"condition_network must give {(None, *wanted)}. Received: {network.name!r}, which "
                f"gives {(None, *given[1:])} of condition_shape {self.condition_shape}."
            )
