"""A composition of bijectors, ours and TFP's."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow_probability as tfp

from tfp_glow.core.bijector import Direction, FlowBijector, broadcast_batch, transform
from tfp_glow.core.rebuild import Rebuilt, opposite, rebuild_and_differentiate

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
      validate_args: As in TFP.
      name: Name of the bijector.

    Raises:
      ValueError: If `bijectors` is empty, or two parts take conditions of other shapes.
      TypeError: If an entry is no `tfb.Bijector`.

    Example:

        chain = Chain([ActNorm(3), tfb.Exp()])
        z = chain.initialize(x)
    """

    def __init__(
        self,
        bijectors: Sequence[tfb.Bijector],
        *,
        validate_args: bool = False,
        name: str | None = None,
    ):
        parameters = dict(locals())
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
            parameters=parameters,
            validate_args=validate_args,
            name=name,
        )
        self._shapes = self._no_dependency(shapes)
        self.track_bijectors(bijectors)

    @property
    def bijectors(self) -> tuple[tfb.Bijector, ...]:
        """The parts, the one nearest to the data first."""
        return tuple(self._parts)

    def _forward_and_log_det(self, z, condition=None):
        return self._compose("forward", reversed(self._parts), z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._compose("inverse", self._parts, x, condition)

    def _compose(self, direction: Direction, bijectors, value, condition):
        event_ndims = getattr(self, f"{direction}_min_event_ndims")
        total = broadcast_batch(0.0, value, event_ndims)
        for bijector in bijectors:
            value, log_det = transform(
                bijector,
                direction,
                value,
                condition_for(bijector, condition),
                event_ndims=event_ndims,
            )
            total += log_det
            event_ndims = getattr(bijector, f"{direction}_event_ndims")(event_ndims)
        return value, total

    def _rebuild_and_differentiate(self, direction, output, condition, gradients) -> Rebuilt:
        """Part by part, from the output back to the input."""
        value, (gradient, log_det_gradient) = output, gradients
        event_ndims = getattr(self, f"{opposite(direction)}_min_event_ndims")
        of_variables, of_condition = {}, None
        for bijector in self._parts if direction == "forward" else reversed(self._parts):
            part = rebuild_and_differentiate(
                bijector,
                direction,
                value,
                condition_for(bijector, condition),
                (gradient, log_det_gradient),
                event_ndims=event_ndims,
            )
            value, gradient = part.value, part.gradient
            event_ndims = getattr(bijector, f"{opposite(direction)}_event_ndims")(event_ndims)
            for key, change in part.variables.items():
                of_variables[key] = of_variables[key] + change if key in of_variables else change
            if part.condition is not None:
                of_condition = part.condition + (0 if of_condition is None else of_condition)
        return Rebuilt(value, gradient, of_variables, of_condition)

    def _initialize(self, x, condition=None):
        for bijector in self._parts:
            if isinstance(bijector, FlowBijector):
                x = bijector._initialize(x, condition_for(bijector, condition))
            else:
                x = bijector.inverse(x)
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


def condition_for(bijector: tfb.Bijector, condition):
    """The condition where `bijector` takes one, None elsewhere."""
    return condition if getattr(bijector, "condition_shape", None) is not None else None


def common_condition_shape(bijectors: Sequence[tfb.Bijector]) -> tuple[int, ...] | None:
    """The condition shape that the bijectors share, None where none takes a condition."""
    shapes = {getattr(b, "condition_shape", None) for b in bijectors} - {None}
    if len(shapes) > 1:
        raise ValueError(
            "bijectors that take a condition must agree on its shape. "
            f"Received: condition shapes {sorted(shapes)}."
        )
    return next(iter(shapes), None)
