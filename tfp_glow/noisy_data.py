"""What distributions over data have in common that reach a flow with noise added."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.freezing import Freezable

__all__ = ["NoisyData"]

tfd = tfp.distributions


class NoisyData(Freezable, tfd.Distribution):
    """A distribution over data, by a flow that learns them with noise.

    A subclass writes `_log_prob(x, seed=None, **kwargs)`, `_call_sample_n` and
    `initialize(x, condition=None, *, force=False, seed=None)`, and, as TFP asks of every class with
    a constructor, `_parameter_properties`.

    Args:
      flow: Distribution over the noisy data.
      dtype: dtype of the data.
      parameters: What the subclass was called with.
      name: Name of the distribution.

    Raises:
      TypeError: If `flow` is no distribution.
    """

    def __init__(self, flow: tfd.Distribution, *, dtype: tf.DType, parameters: dict, name: str):
        if not isinstance(flow, tfd.Distribution):
            raise TypeError(f"flow must be a distribution. Received: {flow!r}.")
        super().__init__(
            dtype=dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )
        self._flow = flow

    @property
    def flow(self) -> tfd.Distribution:
        """The distribution over the noisy data."""
        return self._flow

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Event shape of the condition, None where the flow takes none."""
        return getattr(self._flow, "condition_shape", None)

    @property
    def num_classes(self) -> int | None:
        """Number of classes that the flow is conditioned on, None where on none."""
        return getattr(self._flow, "num_classes", None)

    @property
    def class_ids(self) -> range | None:
        """The class ids that a condition may hold, None where there are none."""
        return getattr(self._flow, "class_ids", None)

    @property
    def initialized(self) -> bool:
        """Whether the flow's data-dependent initialization has run."""
        return getattr(self._flow, "initialized", True)

    def _event_shape(self):
        return self._flow.event_shape

    def _event_shape_tensor(self):
        return self._flow.event_shape_tensor()

    def _batch_shape(self):
        return self._flow.batch_shape

    def _batch_shape_tensor(self):
        return self._flow.batch_shape_tensor()
