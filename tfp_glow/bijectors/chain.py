"""A composition of bijectors, ours and TFP's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import tensorflow_probability as tfp

from tfp_glow.core.bijector import FlowBijector, initialize_part
from tfp_glow.core.conditions import common_condition_shape, condition_for
from tfp_glow.core.passes import FORWARD, INVERSE, Pass, broadcast_batch
from tfp_glow.core.rebuild import Rebuilt, rebuild_and_differentiate

__all__ = ["Chain"]

tfb = tfp.bijectors


class Chain(FlowBijector):
    """Composes bijectors in TFP's order, in one pass and with one condition for all.

        forward(z) = b_1(b_2(... b_n(z)))        inverse(x) = b_n^-1(... b_1^-1(x))

    and the log-dets of the parts add up, each summed over the event of the chain. Unlike
    `tfb.Chain` it initializes its parts from data, and hands `condition` to each part that
    takes one.

    Args:
      bijectors: Bijectors of this package or of TFP; the first is nearest to the data.
      name: Name of the bijector.

    Raises:
      ValueError: If `bijectors` is empty, or two parts take conditions of other shapes.
      TypeError: If an entry is no `tfb.Bijector`.

    Example:

        chain = Chain([ActNorm(3), tfb.Exp()])
        z = chain.initialize(x)
    """

    def __init__(self, bijectors: Sequence[tfb.Bijector], *, name: str | None = None):
        if not isinstance(bijectors, Iterable):
            raise TypeError(f"bijectors must be a sequence. Received: {bijectors!r}.")
        bijectors = list(bijectors)
        if not bijectors:
            raise ValueError("bijectors must hold at least one bijector. Received: [].")
        for bijector in bijectors:
            if not isinstance(bijector, tfb.Bijector):
                raise TypeError(
                    f"bijectors must hold tfb.Bijector instances. Received: {bijector!r}."
                )
        # TFP's chain knows how ranks, shapes and dtypes travel through the parts.
        shapes = tfb.Chain(bijectors)
        super().__init__(
            forward_min_event_ndims=shapes.forward_min_event_ndims,
            inverse_min_event_ndims=shapes.inverse_min_event_ndims,
            condition_shape=common_condition_shape(bijectors),
            dtype=next((b.dtype for b in bijectors if b.dtype is not None), None),
            is_constant_jacobian=shapes.is_constant_jacobian,
            name=name,
        )
        self.__dict__["_shapes"] = shapes
        self._bijectors = bijectors

    @property
    def bijectors(self) -> tuple[tfb.Bijector, ...]:
        """The parts, the one nearest to the data first."""
        return tuple(self._bijectors)

    def _forward_and_log_det(self, z, condition=None):
        return self._compose(FORWARD, reversed(self.bijectors), z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._compose(INVERSE, self.bijectors, x, condition)

    def _compose(self, direction: Pass, bijectors, value, condition):
        event_ndims = direction.min_event_ndims(self)
        total = broadcast_batch(0.0, value, event_ndims)
        for bijector in bijectors:
            given = condition_for(bijector, condition)
            value, log_det = direction(bijector, value, given, event_ndims=event_ndims)
            total += log_det
            event_ndims = direction.event_ndims(bijector, event_ndims)
        return value, total

    def rebuild_and_differentiate(self, direction, output, condition, gradients) -> Rebuilt:
        """Part by part, from the output back to the input."""
        value, (gradient, log_det_gradient) = output, gradients
        back = direction.opposite
        event_ndims = back.min_event_ndims(self)
        of_variables, of_condition = {}, None
        for bijector in self.bijectors if direction is FORWARD else reversed(self.bijectors):
            part = rebuild_and_differentiate(
                bijector,
                direction,
                value,
                condition_for(bijector, condition),
                (gradient, log_det_gradient),
                event_ndims=event_ndims,
            )
            value, gradient = part.value, part.gradient
            event_ndims = back.event_ndims(bijector, event_ndims)
            for key, change in part.variables.items():
                of_variables[key] = of_variables[key] + change if key in of_variables else change
            if part.condition is not None:
                of_condition = part.condition + (0 if of_condition is None else of_condition)
        return Rebuilt(value, gradient, of_variables, of_condition)

    def _initialize(self, x, condition=None):
        for bijector in self.bijectors:
            x = initialize_part(bijector, x, condition_for(bijector, condition))
        return x

    def _forward_event_shape(self, shape):
        return self._shapes.forward_event_shape(shape)

    def _inverse_event_shape(self, shape):
        return self._shapes.inverse_event_shape(shape)

    def _forward_event_shape_tensor(self, shape):
        return self._shapes.forward_event_shape_tensor(shape)

    def _inverse_event_shape_tensor(self, shape):
        return self._shapes.inverse_event_shape_tensor(shape)

    def _forward_dtype(self, dtype, **kwargs):
        return self._shapes.forward_dtype(dtype)

    def _inverse_dtype(self, dtype, **kwargs):
        return self._shapes.inverse_dtype(dtype)
