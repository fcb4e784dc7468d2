"""Parameters that a network can shift by a condition."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import keras
import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.conditioner import conditioner, hold_network
from tfp_glow.core.shapes import with_one_batch_dimension

__all__ = ["AmortizedBijector"]


class AmortizedBijector(FlowBijector):
    """A bijector whose parameters are variables, plus what a network gives for the condition.

        parameters(c) = variables + network(c)

    so that in variational inference each observation has a flow of its own.

    Args:
      channels: Size of the last dimension of values.
      network: A built Keras layer or model, or any callable, from the condition `[batch, k]` to all
        parameters, one after the other; or a factory, `network(inputs=, outputs=)`; or None.
      condition_shape: Event shape `(k,)` of the condition, or None.
      dtype: dtype of the parameters and of the values.
      name: Name of the bijector.

    Raises:
      ValueError: If one of `network` and `condition_shape` is given without the other.
    """

    def __init__(
        self,
        channels: int,
        network: Callable | None,
        *,
        condition_shape: Iterable[int] | None,
        dtype: str,
        name: str | None,
    ):
        if (network is None) != (condition_shape is None):
            raise ValueError(
                "network and condition_shape must be given together. "
                f"Received: network={network!r}, condition_shape={condition_shape!r}."
            )
        super().__init__(
            forward_min_event_ndims=1,
            channels=channels,
            condition_shape=condition_shape,
            dtype=dtype,
            name=name,
        )
        self.__dict__["_given_network"] = network

    def amortize(self, variables: Sequence[keras.Variable]) -> None:
        """Says which variables the network shifts; a subclass calls it once they are made."""
        self._amortized = list(variables)
        self._sizes = [math.prod(v.shape) for v in variables]
        network = self.__dict__.pop("_given_network")
        if network is None:
            return
        outputs = sum(self._sizes)
        network = conditioner(
            network, inputs=self.condition_shape, outputs=outputs, condition_shape=None
        )
        hold_network(self, network)

    def parameters_at(self, condition) -> list[tf.Tensor]:
        """The parameters, with the leading dimensions of the condition where there is one."""
        variables = [tf.convert_to_tensor(v) for v in self._amortized]
        if condition is None:
            return variables
        raw = tf.cast(with_one_batch_dimension(self._network, condition, 1), self.dtype)
        if raw.shape[-1] != sum(self._sizes):
            raise ValueError(
                f"network of {self.name} must give {sum(self._sizes)} parameters. "
                f"Received: {raw.shape[-1]}."
            )
        shifts = tf.split(raw, self._sizes, axis=-1)
        return [
            variable + tf.reshape(shift, tf.concat([tf.shape(raw)[:-1], variable.shape], 0))
            for variable, shift in zip(variables, shifts, strict=True)
        ]
