"""The coupling layer on a split of the channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import tensorflow as tf

from tfp_glow.bijectors.base import Direction, FlowBijector
from tfp_glow.bijectors.checks import check_positive_int
from tfp_glow.bijectors.laws import Law, get_law
from tfp_glow.bijectors.reversible import (
    Rebuilt,
    differentiable,
    opposite,
    read_tape,
    trainable_tensors,
)
from tfp_glow.shapes import with_one_batch_dimension

__all__ = ["Coupling"]


class Coupling(FlowBijector):
    """Transforms some channels by a law whose parameters a network reads off the others.

    With x = (a, b) split along the channels, z = (a, c):

        inverse:  c = law^-1(b; network(a))      log|det dz/dx| = sum log|dc/db|
        forward:  b = law(c; network(a))         log|det dx/dz| = sum log|db/dc|

    | law | encoding direction |
    | --- | --- |
    | `"additive"` | c = b + shift |
    | `"affine"` | c = (b + shift) * (floor + (1 - floor) * sigmoid(s + 2)) |
    | `"affine_exp"` | c = (b + shift) * exp(bound * tanh(s / bound)) |

    The network's output is (shift, s) along the channels, each with the channels of b.

    Args:
      network: A built Keras layer or model, or any callable, from the kept channels
        `[batch, ..., kept]` to the law's parameters. With a condition it is called on the
        list `[kept, condition]`. Leading dimensions are folded into one for it.
      law: Name of a law, or an object with `forward`, `inverse` and
        `parameters_per_channel`, as in `tfp_glow.bijectors.laws`.
      kept: Number of leading channels that pass unchanged; half of them when omitted.
      event_ndims: 1 for vectors, 3 for images: the dimensions that the network sees whole.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      dtype: dtype of the values; the network may compute in another.
      name: Name of the bijector.

    Shapes: `[..., channels]` or `[..., H, W, C]` both ways, the log-det `[...]`.

    Raises:
      ValueError: If the network is not built, nothing is kept or transformed, or the
        network's output does not fit the law.
      TypeError: If `network` is not callable.

    Example:

        network = MLP(4, hidden_units=(64,), input_shape=(2,))
        coupling = Coupling(network, law="affine")
        x = coupling.forward(tf.random.normal([8, 4]))

    References:
      Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv:1605.08803.
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039, section 3.3.
    """

    def __init__(
        self,
        network: Callable,
        *,
        law: str | Law = "affine",
        kept: int | None = None,
        event_ndims: int = 1,
        condition_shape: Iterable[int] | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        parameters = dict(locals())
        if not callable(network):
            raise TypeError(f"network must be callable. Received: {network!r}.")
        if kept is not None:
            check_positive_int(kept, "kept")
        check_positive_int(event_ndims, "event_ndims")
        super().__init__(
            forward_min_event_ndims=event_ndims,
            condition_shape=condition_shape,
            dtype=dtype,
            parameters=parameters,
            name=name,
        )
        self._network = self._no_dependency(network)
        self._law = self._no_dependency(get_law(law))
        self._kept = kept
        self.track_network(network)

    def _forward_and_log_det(self, z, condition=None):
        return self._transform("forward", z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._transform("inverse", x, condition)

    def _transform(self, direction: Direction, value, condition):
        kept, transformed = self._split(value)
        raw = self._parameters_of_law(kept, transformed, condition)
        transformed, log_det = self._apply_law(direction, transformed, raw)
        return tf.concat([kept, transformed], -1), log_det

    def _apply_law(self, direction: Direction, transformed, raw):
        transformed, log_det = getattr(self._law, direction)(transformed, raw)
        return transformed, tf.reduce_sum(log_det, list(range(-self.forward_min_event_ndims, 0)))

    def _rebuild_and_differentiate(self, direction, output, condition, gradients) -> Rebuilt:
        """One evaluation of the network rebuilds the input and is differentiated itself."""
        (kept, transformed), variables = self._split(output), trainable_tensors(self)
        with tf.GradientTape(watch_accessed_variables=False) as network_tape:
            network_tape.watch([kept, *variables.values(), *differentiable(condition)])
            raw = self._parameters_of_law(kept, transformed, condition)
        value, _ = self._apply_law(opposite(direction), transformed, raw)
        kept_gradient, transformed_gradient = self._split(gradients[0])
        with tf.GradientTape(watch_accessed_variables=False) as law_tape:
            law_tape.watch([value, raw])
            result = self._apply_law(direction, value, raw)
        value_gradient, raw_gradient = law_tape.gradient(
            result, [value, raw], (transformed_gradient, gradients[1])
        )
        network = read_tape(network_tape, raw, raw_gradient, kept, variables, condition)
        return Rebuilt(
            tf.concat([kept, value], -1),
            tf.concat([kept_gradient + network.gradient, value_gradient], -1),
            network.variables,
            network.condition,
        )

    def _split(self, value):
        channels = value.shape[-1]
        kept = channels // 2 if self._kept is None else self._kept
        if not 0 < kept < channels:
            raise ValueError(
                f"{self.name} needs channels to keep and to transform. "
                f"Received: {channels} channels of which {kept} are kept."
            )
        return tf.split(value, [kept, channels - kept], axis=-1)

    def _parameters_of_law(self, kept, transformed, condition):
        ndims = self.forward_min_event_ndims
        raw = with_one_batch_dimension(self._network, kept, ndims, condition)
        expected = transformed.shape[-1] * self._law.parameters_per_channel
        if raw.shape[-1] != expected:
            raise ValueError(
                f"network of {self.name} must give {expected} channels for its law "
                f"{self._law}. Received: {raw.shape[-1]} channels."
            )
        return tf.cast(raw, transformed.dtype)

    def _initialize(self, x, condition=None):
        initialize = getattr(self._network, "initialize", None)
        if initialize is not None:
            kept, _ = self._split(x)
            with_one_batch_dimension(initialize, kept, self.forward_min_event_ndims, condition)
        return self._inverse_and_log_det(x, condition)[0]
