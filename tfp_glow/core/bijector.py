"""The contract of every bijector of this package."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.memory import OnePassCache

__all__ = ["Direction", "FlowBijector", "broadcast_batch", "condition_kwargs", "transform"]

tfb = tfp.bijectors
Direction = Literal["forward", "inverse"]


class FlowBijector(tfb.Bijector):
    """A `tfb.Bijector` whose value and log-det come from one pass.

    As everywhere in TFP, `forward` generates (latent z to data x) and `inverse` encodes. A
    subclass writes two methods:

        _forward_and_log_det(z, condition=None) -> (x, log|det dx/dz|)
        _inverse_and_log_det(x, condition=None) -> (z, log|det dz/dx|)

    where the log-det has the shape of the batch, `x.shape[:-event_ndims]`, and

        log|det dz/dx| (x) = -log|det dx/dz| (z)   at x = forward(z).

    All of TFP's methods are derived from the two, so that `log_prob`, and a sample with its
    `log_prob`, evaluate each network once. Parameters are `keras.Variable`s made by
    `add_variable`; networks and inner bijectors are handed over by `track_network` and
    `track_bijectors`. Their `tf.Variable`s then hang on the bijector, where `tf.Module`,
    `tf.train.Checkpoint` and SavedModel find them, and `keras.StatelessScope` can
    substitute every one of them.

    A bijector that makes variables is equal only to itself; the others are equal when
    their arguments are. `copy()` shares the variables; a copy with changed arguments is
    built anew and has variables of its own.

    Args:
      forward_min_event_ndims: Rank of the smallest latent event.
      inverse_min_event_ndims: Rank of the smallest data event; the same when omitted.
      condition_shape: Event shape of the condition (`()` for class ids, `(k,)` for
        features), or None for a bijector that takes none.
      dtype: dtype of values and parameters; None accepts any floating dtype.
      parameters: The constructor's arguments, `dict(locals())`.
      validate_args: As in TFP.
      name: Name of the bijector; made unique when omitted.

    Example:

        class Halve(FlowBijector):
            def __init__(self, name=None):
                super().__init__(forward_min_event_ndims=1, parameters=dict(locals()), name=name)

            def _forward_and_log_det(self, z, condition=None):
                return z / 2, self.full_log_det(z, -np.log(2.0) * z.shape[-1])

            def _inverse_and_log_det(self, x, condition=None):
                return x * 2, self.full_log_det(x, np.log(2.0) * x.shape[-1])
    """

    _cache = OnePassCache("_forward_with_attributes", "_inverse_with_attributes")

    def __init__(
        self,
        *,
        forward_min_event_ndims: int,
        inverse_min_event_ndims: int | None = None,
        condition_shape: Iterable[int] | None = None,
        dtype: str | tf.DType | None = None,
        parameters: dict | None = None,
        validate_args: bool = False,
        is_constant_jacobian: bool = False,
        name: str | None = None,
    ):
        parameters = {k: v for k, v in (parameters or {}).items() if k != "__class__"}
        super().__init__(
            forward_min_event_ndims=forward_min_event_ndims,
            inverse_min_event_ndims=(
                forward_min_event_ndims
                if inverse_min_event_ndims is None
                else inverse_min_event_ndims
            ),
            is_constant_jacobian=is_constant_jacobian,
            validate_args=validate_args,
            dtype=None if dtype is None else tf.as_dtype(dtype),
            parameters=parameters,
            name=name or _unique_name(type(self)),
        )
        self._condition_shape = None if condition_shape is None else tuple(condition_shape)
        self._keras_variables = self._no_dependency([])
        self._parts = self._no_dependency([])
        self._networks = self._no_dependency([])
        self._makes_variables = False

    # What a subclass writes.

    def _forward_and_log_det(self, z, condition=None):
        raise NotImplementedError(f"{type(self).__name__} must define _forward_and_log_det.")

    def _inverse_and_log_det(self, x, condition=None):
        raise NotImplementedError(f"{type(self).__name__} must define _inverse_and_log_det.")

    def _initialize(self, x, condition=None):
        """Initializes from data, part by part; what holds no state only passes it on."""
        return self._inverse_and_log_det(x, condition)[0]

    # What a subclass calls.

    def add_variable(
        self, value, *, name: str, trainable: bool = True, dtype: str | None = None
    ) -> keras.Variable:
        """Creates a `keras.Variable` whose `tf.Variable` hangs on the bijector as `_name`."""
        variable = keras.Variable(
            value, dtype=dtype or self.dtype.name, trainable=trainable, autocast=False, name=name
        )
        setattr(self, f"_{name}", variable.value)
        self._keras_variables.append(variable)
        self._makes_variables = True
        # One saved copy is enough: the tf.Variable above is the one that checkpoints see.
        return self._no_dependency(variable)

    def track_network(self, network) -> None:
        """Makes the weights of a built Keras layer or model part of this bijector."""
        if not isinstance(network, keras.layers.Layer):
            return
        if not network.built:
            raise ValueError(
                f"network must be built before a bijector holds it. Received: {network.name!r}, "
                "which is not. Call it once on an input of the right shape, as in "
                "network(tf.zeros([1, size])), or call network.build(input_shape)."
            )
        self._networks.append(network)
        self._keras_variables.extend(network.variables)
        self._network_variables = [variable.value for variable in network.variables]

    def track_bijectors(self, bijectors: Iterable[tfb.Bijector]) -> None:
        """Makes the variables and the initialization of inner bijectors part of this one."""
        self._parts.extend(bijectors)
        self._inner_bijectors = list(self._parts)

    def full_log_det(self, value, log_det):
        """Broadcasts a log-det that is equal for all examples to `value`'s batch shape."""
        return broadcast_batch(log_det, value, self.forward_min_event_ndims)

    # What callers use.

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Event shape of the condition, None where the bijector takes none."""
        return self._condition_shape

    @property
    def keras_variables(self) -> tuple[keras.Variable, ...]:
        """Every `keras.Variable` inside, each once: own, of networks and of inner bijectors."""
        inner = (v for part in self._parts for v in getattr(part, "keras_variables", ()))
        return tuple({id(v): v for v in (*self._keras_variables, *inner)}.values())

    @property
    def initialized(self) -> bool:
        """Whether data-dependent initialization has run in every part that has one."""
        return all(bool(np.all(flag)) for flag in self._initialized_flags())

    def _initialized_flags(self) -> list:
        return [flag for part in (*self._parts, *self._networks) for flag in _flags_of(part)]

    @property
    def advances(self) -> bool:
        """Whether `advance` does anything."""
        return any(hasattr(network, "advance") for network in self._networks) or any(
            getattr(part, "advances", False) for part in self._parts
        )

    def advance(self) -> None:
        """Moves on what changes once a training step, and never while the flow is evaluated.

        That is the noise of log-det estimators and the power iterations of Lipschitz networks.
        `FlowModel` calls it after each step; a training loop of one's own has to.
        """
        for part in (*self._parts, *self._networks):
            if getattr(part, "advances", hasattr(part, "advance")):
                part.advance()

    def converge(self) -> None:
        """Runs the power iterations of Lipschitz networks until their norms stand still."""
        for part in (*self._parts, *self._networks):
            if hasattr(part, "converge"):
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
        if not force and self._initialized_flags() and self.initialized:
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
            z = self._initialize(x, self._checked_condition(condition))
        for variable in self.keras_variables:
            value = scope.get_current_value(variable)
            if value is not None:
                variable.assign(value)
        return z

    def forward_and_log_det(self, z, condition=None, *, event_ndims: int | None = None):
        """Returns `(x, log|det dx/dz|)` of one pass."""
        z = tf.convert_to_tensor(z, dtype_hint=self.dtype)
        self._check_rank(z, "z", self.forward_min_event_ndims)
        condition = self._checked_condition(condition)
        return transform(self, "forward", z, condition, event_ndims=event_ndims)

    def inverse_and_log_det(self, x, condition=None, *, event_ndims: int | None = None):
        """Returns `(z, log|det dz/dx|)` of one pass."""
        x = tf.convert_to_tensor(x, dtype_hint=self.dtype)
        self._check_rank(x, "x", self.inverse_min_event_ndims)
        condition = self._checked_condition(condition)
        return transform(self, "inverse", x, condition, event_ndims=event_ndims)

    def copy(self, **changed) -> FlowBijector:
        """The same bijector, or one built anew with some arguments changed."""
        return super().copy(**changed) if changed else self

    def __getitem__(self, slices) -> FlowBijector:
        return self  # The parameters have no batch dimensions to slice.

    # TFP's hooks.

    def _forward(self, z, condition=None):
        return self._forward_with_attributes(z, condition=condition)[0]

    def _inverse(self, x, condition=None):
        return self._inverse_with_attributes(x, condition=condition)[0]

    def _forward_with_attributes(self, z, condition=None):
        self._check_rank(z, "z", self.forward_min_event_ndims)
        x, fldj = self._forward_and_log_det(z, self._checked_condition(condition))
        return x, {"ildj": -fldj}

    def _inverse_with_attributes(self, x, condition=None):
        self._check_rank(x, "x", self.inverse_min_event_ndims)
        z, ildj = self._inverse_and_log_det(x, self._checked_condition(condition))
        return z, {"ildj": ildj}

    def _forward_log_det_jacobian(self, z, **kwargs):
        output = self._cache.forward(z, **kwargs)  # Alive until its log-det has been read.
        fldj = -self._cache.forward_attributes(z, **kwargs)["ildj"]
        del output
        return fldj

    def _inverse_log_det_jacobian(self, x, **kwargs):
        output = self._cache.inverse(x, **kwargs)
        ildj = self._cache.inverse_attributes(x, **kwargs)["ildj"]
        del output
        return ildj

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None) -> dict:
        return {}

    def _get_parameterization(self):
        return id(self) if self._makes_variables else self.parameters

    # Checks of the arguments.

    def _check_rank(self, value, argument: str, event_ndims: int) -> None:
        rank = value.shape.rank
        if rank is not None and rank < event_ndims:
            raise ValueError(
                f"{self.name}: {argument} must have at least {event_ndims} dimensions. "
                f"Received: shape {tuple(value.shape)}."
            )

    def _checked_condition(self, condition):
        if (condition is None) != (self._condition_shape is None):
            raise ValueError(self._condition_message(condition))
        if condition is None:
            return None
        condition = tf.convert_to_tensor(condition)
        if condition.dtype.is_floating and self.dtype is not None:
            condition = tf.cast(condition, self.dtype)
        if not self._matches_condition_shape(condition.shape):
            raise ValueError(self._condition_message(condition))
        return condition

    def _matches_condition_shape(self, shape: tf.TensorShape) -> bool:
        ndims = len(self._condition_shape)
        if shape.rank is None or not ndims:
            return True
        return shape.rank >= ndims and shape[-ndims:].is_compatible_with(self._condition_shape)

    def _condition_message(self, condition) -> str:
        if self._condition_shape is None:
            return f"condition must be None: {self.name} takes none. Received: {condition!r}."
        received = "None" if condition is None else f"shape {tuple(condition.shape)}"
        return (
            f"condition of {self.name} must have shape [..., "
            f"{', '.join(map(str, self._condition_shape))}]. Received: {received}."
        )


def transform(
    bijector: tfb.Bijector,
    direction: Direction,
    value,
    condition=None,
    *,
    event_ndims: int | None = None,
):
    """One pass of any bijector, ours or TFP's: `(transformed, log_det)`.

    Inside a composite, our bijectors are called without TFP's cache: the composite's own
    cache serves its callers, and the parts stay plain functions of their inputs, as loops
    and recomputed gradients need them.
    """
    if isinstance(bijector, FlowBijector):
        method = getattr(bijector, f"_{direction}_and_log_det")
        transformed, log_det = method(value, condition)
        own = getattr(bijector, f"{direction}_min_event_ndims")
        extra = 0 if event_ndims is None else event_ndims - own
        if extra:
            log_det = tf.reduce_sum(log_det, axis=list(range(-extra, 0)))
        return transformed, log_det
    if event_ndims is None:
        event_ndims = getattr(bijector, f"{direction}_min_event_ndims")
    kwargs = condition_kwargs(condition)
    value = tf.convert_to_tensor(value, dtype_hint=bijector.dtype)
    transformed = getattr(bijector, direction)(value, **kwargs)
    log_det_fn = getattr(bijector, f"{direction}_log_det_jacobian")
    log_det = log_det_fn(value, event_ndims=event_ndims, **kwargs)
    return transformed, broadcast_batch(log_det, value, event_ndims)


def condition_kwargs(condition) -> dict:
    """The keyword argument that hands a condition on, none where there is none."""
    return {} if condition is None else {"condition": condition}


def broadcast_batch(log_det, value, event_ndims: int):
    """Broadcasts a log-det to the batch shape of `value`, keeping what is known statically."""
    # An addition, because XLA cannot differentiate tf.broadcast_to to a dynamic shape in a loop.
    batch_ndims = value.shape.rank - event_ndims
    zeros = tf.zeros(tf.shape(value)[:batch_ndims], value.dtype)
    return tf.ensure_shape(zeros + tf.cast(log_det, value.dtype), value.shape[:batch_ndims])


def _flags_of(part) -> list:
    """The saved flags that tell whether a part's data-dependent initialization has run."""
    if isinstance(part, FlowBijector):
        return part._initialized_flags()
    return list(getattr(part, "initialized_flags", ()))


@functools.cache
def _snake_case(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")


def _unique_name(cls: type) -> str:
    prefix = _snake_case(cls.__name__)
    count = keras.backend.get_uid(prefix)
    return prefix if count == 1 else f"{prefix}_{count - 1}"
