"""One pass through a bijector, in one of two directions."""

from __future__ import annotations

import abc

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_channels

__all__ = ["FORWARD", "INVERSE", "OnePass", "Pass", "broadcast_batch", "condition_kwargs"]

tfb = tfp.bijectors


class OnePass(tfb.Bijector):
    """A bijector that gives a value and its log-det in one pass."""

    _channels: int | None = None

    def with_its_channels(self, value):
        """Returns a value whose last dimension fits; raises where it does not."""
        return value if self._channels is None else check_channels(value, self._channels, self.name)

    @abc.abstractmethod
    def _forward_and_log_det(self, z, condition=None):
        """`(x, log|det dx/dz|)`."""

    @abc.abstractmethod
    def _inverse_and_log_det(self, x, condition=None):
        """`(z, log|det dz/dx|)`."""


class Pass(abc.ABC):
    """A direction: `FORWARD` generates, `INVERSE` encodes.

    A pass takes any bijector, ours or TFP's. Ours are called without their memory, which serves
    the callers of a composite, so that its parts stay plain functions of their inputs, as
    loops and recomputed gradients need them.
    """

    def __call__(
        self, bijector: tfb.Bijector, value, condition=None, *, event_ndims: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The transformed value, and the log-det summed over `event_ndims` dimensions."""
        if not isinstance(bijector, OnePass):
            return self._stock(bijector, value, condition, event_ndims)
        transformed, log_det = self._one(bijector, bijector.with_its_channels(value), condition)
        return transformed, self.summed(bijector, log_det, event_ndims)

    def summed(self, bijector: OnePass, log_det, event_ndims: int | None):
        """The log-det of events of that rank, from one of the smallest events."""
        extra = 0 if event_ndims is None else event_ndims - self.min_event_ndims(bijector)
        return tf.reduce_sum(log_det, list(range(-extra, 0))) if extra else log_det

    def _stock(self, bijector: tfb.Bijector, value, condition, event_ndims: int | None):
        if event_ndims is None:
            event_ndims = self.min_event_ndims(bijector)
        kwargs = condition_kwargs(condition)
        # A new tensor, for which TFP's cache can have no old answer.
        value = tf.identity(tf.convert_to_tensor(value, dtype_hint=bijector.dtype))
        transformed, log_det = self._two(bijector, value, event_ndims, kwargs)
        return transformed, broadcast_batch(log_det, value, event_ndims)

    argument: str  # What the input is called.

    @property
    @abc.abstractmethod
    def opposite(self) -> Pass:
        """The other direction."""

    @abc.abstractmethod
    def min_event_ndims(self, bijector: tfb.Bijector) -> int:
        """Rank of the smallest event that goes in."""

    @abc.abstractmethod
    def event_ndims(self, bijector: tfb.Bijector, event_ndims: int) -> int:
        """Rank of an event that comes out where one of rank `event_ndims` goes in."""

    @abc.abstractmethod
    def law(self, law, value, raw) -> tuple[tf.Tensor, tf.Tensor]:
        """The same direction of a coupling law."""

    @abc.abstractmethod
    def _one(self, bijector: OnePass, value, condition): ...

    @abc.abstractmethod
    def _two(self, bijector: tfb.Bijector, value, event_ndims: int, kwargs: dict): ...


class _Forward(Pass):
    argument = "z"

    @property
    def opposite(self) -> Pass:
        return INVERSE

    def min_event_ndims(self, bijector) -> int:
        return bijector.forward_min_event_ndims

    def event_ndims(self, bijector, event_ndims: int) -> int:
        return bijector.forward_event_ndims(event_ndims)

    def law(self, law, value, raw):
        return law.forward(value, raw)

    def _one(self, bijector, value, condition):
        return bijector._forward_and_log_det(value, condition)

    def _two(self, bijector, value, event_ndims, kwargs):
        transformed = bijector.forward(value, **kwargs)  # Alive until its log-det has been read.
        return transformed, bijector.forward_log_det_jacobian(value, event_ndims, **kwargs)


class _Inverse(Pass):
    argument = "x"

    @property
    def opposite(self) -> Pass:
        return FORWARD

    def min_event_ndims(self, bijector) -> int:
        return bijector.inverse_min_event_ndims

    def event_ndims(self, bijector, event_ndims: int) -> int:
        return bijector.inverse_event_ndims(event_ndims)

    def law(self, law, value, raw):
        return law.inverse(value, raw)

    def _one(self, bijector, value, condition):
        return bijector._inverse_and_log_det(value, condition)

    def _two(self, bijector, value, event_ndims, kwargs):
        transformed = bijector.inverse(value, **kwargs)
        return transformed, bijector.inverse_log_det_jacobian(value, event_ndims, **kwargs)


FORWARD, INVERSE = _Forward(), _Inverse()


def condition_kwargs(condition) -> dict:
    """The keyword argument that hands a condition on, none where there is none."""
    return {} if condition is None else {"condition": condition}


def broadcast_batch(log_det, value, event_ndims: int):
    """Broadcasts a log-det to the batch shape of `value`, keeping what is known statically."""
    # An addition, because XLA cannot differentiate tf.broadcast_to to a dynamic shape in a loop.
    batch_ndims = value.shape.rank - event_ndims
    zeros = tf.zeros(tf.shape(value)[:batch_ndims], value.dtype)
    return tf.ensure_shape(zeros + tf.cast(log_det, value.dtype), value.shape[:batch_ndims])
