"""The contract of every bijector of this package."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_dtype, check_positive_int
from tfp_glow.core.hooks import Hooks
from tfp_glow.core.naming import unique_name
from tfp_glow.core.passes import INVERSE, broadcast_batch
from tfp_glow.core.state import Stateful

__all__ = ["FlowBijector", "advancing_parts", "initialize_part"]

tfb = tfp.bijectors


class FlowBijector(Hooks, Stateful):
    """A `tfb.Bijector` whose value and log-det come from one pass.

    As everywhere in TFP, `forward` generates (latent z to data x) and `inverse` encodes. A
    subclass writes two methods:

        _forward_and_log_det(z, condition=None) -> (x, log|det dx/dz|)
        _inverse_and_log_det(x, condition=None) -> (z, log|det dz/dx|)

    where the log-det has the shape of the batch, `x.shape[:-event_ndims]`, and

        log|det dz/dx| (x) = -log|det dx/dz| (z)   at x = forward(z).

    All of TFP's methods are derived from the two, so that `log_prob`, and a sample with its
    `log_prob`, evaluate each network once.

    Parameters are `keras.Variable`s made by `add_variable`. Keras networks and bijectors that are
    assigned to an attribute, alone or in a list, become parts. `tf.Module`, `tf.train.Checkpoint`
    and SavedModel find the variables of all of them, and `keras.StatelessScope` can substitute
    every Keras variable. What comes from a first batch is set in `_initialize`; `add_flag` makes
    the saved boolean that tells whether it was.

    A bijector with variables is equal only to itself, and its hash changes with their values, which
    keeps TFP's caches right. The others are equal when their arguments are. `copy()` shares the
    variables; a copy with changed arguments is built anew.

    Args:
      forward_min_event_ndims: Rank of the smallest latent event.
      inverse_min_event_ndims: Rank of the smallest data event; the same when omitted.
      channels: Size of the last dimension of values both ways, which no other may have, where one
        channel would be broadcast to all of them; None for any.
      condition_shape: Event shape of the condition (`()` for class ids, `(k,)` for
        features), or None for a bijector that takes none.
      dtype: dtype of values and parameters; None accepts any floating dtype.
      is_constant_jacobian: As in TFP.
      name: Name of the bijector; made unique when omitted.

    Example:

        class Scale(FlowBijector):
            def __init__(self, size, *, name=None):
                super().__init__(
                    forward_min_event_ndims=1, channels=size, dtype="float32", name=name
                )
                self.log_scale = self.add_variable(np.zeros(size), name="log_scale")

            def _forward_and_log_det(self, z, condition=None):
                log_det = tf.reduce_sum(self.log_scale)
                return z * tf.exp(self.log_scale), self.full_log_det(z, log_det)

            def _inverse_and_log_det(self, x, condition=None):
                log_det = -tf.reduce_sum(self.log_scale)
                return x * tf.exp(-self.log_scale), self.full_log_det(x, log_det)
    """

    def __init__(
        self,
        *,
        forward_min_event_ndims: int,
        inverse_min_event_ndims: int | None = None,
        channels: int | None = None,
        condition_shape: Iterable[int] | None = None,
        dtype: str | tf.DType | None = None,
        is_constant_jacobian: bool = False,
        name: str | None = None,
    ):
        if inverse_min_event_ndims is None:
            inverse_min_event_ndims = forward_min_event_ndims
        super().__init__(
            forward_min_event_ndims=forward_min_event_ndims,
            inverse_min_event_ndims=inverse_min_event_ndims,
            is_constant_jacobian=is_constant_jacobian,
            dtype=None if dtype is None else check_dtype(dtype),
            parameters=self._arguments,
            name=name or unique_name(type(self)),
        )
        self._condition_shape = None if condition_shape is None else tuple(condition_shape)
        self._channels = None if channels is None else check_positive_int(channels, "channels")
        self._flags = []

    # What a subclass may write, and what it calls.

    def _initialize(self, x, condition=None):
        """Initializes from data, part by part; what sets nothing only passes it on."""
        return self._inverse_and_log_det(x, condition)[0]

    def add_flag(self) -> None:
        """Creates the saved boolean that tells whether `_initialize` has run."""
        self._flags.append(self.add_variable(False, name="flag", trainable=False, dtype="bool"))

    def full_log_det(self, value, log_det):
        """Broadcasts a log-det that is equal for all examples to `value`'s batch shape."""
        return broadcast_batch(log_det, value, self.forward_min_event_ndims)

    # What callers use.

    @property
    def log_det_is_estimate(self) -> bool:
        """Whether log-dets depend on noise."""
        return any(part.log_det_is_estimate for part in self._holders())

    @property
    def initialized(self) -> bool:
        """Whether data-dependent initialization has run in every part that has one."""
        return all(bool(np.all(flag)) for flag in self.initialized_flags)

    @property
    def initialized_flags(self) -> list[keras.Variable]:
        return [*self._flags, *(f for part in self._states() for f in part.initialized_flags)]

    @property
    def advances(self) -> bool:
        return any(part.advances for part in self._states())

    def advance(self) -> None:
        """Moves on what changes once a training step, and never while the flow is evaluated.

        That is the noise of log-det estimators and the power iterations of Lipschitz networks.
        `FlowModel` calls it after each step; a training loop of one's own has to.
        """
        for part in self._states():
            part.advance()

    def converge(self) -> None:
        """Runs the power iterations of Lipschitz networks until their norms stand still."""
        for part in self._states():
            part.converge()

    def initialize(self, x, condition=None, *, force: bool = False):
        """Sets the data-dependent parameters from a batch and returns its latents.

        Args:
          x: `[..., *event]`, a batch of data.
          condition: What the flow is conditioned on, where it takes a condition.
          force: Whether to overwrite an earlier initialization.

        Returns:
          z: The latents of `x` under the new parameters.

        Raises:
          ValueError: If it has run before and `force` is False, or inside a `tf.function`.
        """
        if not tf.executing_eagerly():
            raise ValueError(f"{self.name}.initialize must be called outside of tf.function.")
        if not force and self.initialized_flags and self.initialized:
            raise ValueError(
                f"{self.name} is initialized already, and its trained parameters would be lost. "
                "Pass force=True to overwrite them."
            )
        x = tf.convert_to_tensor(x, dtype_hint=self.dtype)
        if not bool(tf.reduce_all(tf.math.is_finite(x))):
            raise ValueError(
                f"x must be finite. Received: NaN or infinity in data for {self.name}."
            )
        # Assigned at the end, so that an error on the way leaves nothing half-initialized.
        with keras.StatelessScope() as scope:
            z = initialize_part(self, x, self._checked(INVERSE, x, condition))
        for variable in self.keras_variables:
            value = scope.get_current_value(variable)
            if value is not None:
                variable.assign(value)
        return z


def initialize_part(part: tfb.Bijector, x, condition):
    """Initializes a bijector from data, where it is one of ours; returns the latents of `x`."""
    if not isinstance(part, FlowBijector):
        return INVERSE(part, x, condition)[0]
    for flag in part._flags:
        flag.assign(True)
    return part._initialize(part.with_its_channels(x), condition)


def advancing_parts(*modules: tf.Module) -> list[FlowBijector]:
    """The outermost bijectors of distributions that change once a training step."""
    parts = {id(part): part for module in modules for part in module.submodules}
    found = [part for part in parts.values() if isinstance(part, FlowBijector)]
    inner = {id(part) for bijector in found for part in bijector.submodules}
    return [b for b in found if b.advances and id(b) not in inner]
