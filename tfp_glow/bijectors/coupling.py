"""The coupling layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import get_args

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_choice, event_dimensions
from tfp_glow.core.conditioner import check_reach, conditioner, hold_network, within_reach
from tfp_glow.core.passes import FORWARD, INVERSE, Pass
from tfp_glow.core.rebuild import Rebuilt, differentiable, read_tape, trainable_tensors
from tfp_glow.core.shapes import with_one_batch_dimension
from tfp_glow.core.state import Stateful
from tfp_glow.laws.elementwise import Law, check_parameters, get_law
from tfp_glow.laws.masks import Mask, MaskName, get_mask, kept_and_transformed

__all__ = ["Coupling"]


class Coupling(FlowBijector):
    """Transforms some of the values by a law whose parameters a network reads off the others.

    With x = (a, b) split by a mask, z = (a, c):

        inverse:  c = law^-1(b; network(a))      log|det dz/dx| = sum log|dc/db|
        forward:  b = law(c; network(a))         log|det dx/dz| = sum log|db/dc|

    | law | encoding direction |
    | --- | --- |
    | `"additive"` | c = b + shift |
    | `"multiplicative"` | c = b * exp(bound * tanh(s / bound)) |
    | `"affine"` | c = (b + shift) * (floor + (1 - floor) * sigmoid(s + 2)) |
    | `"affine_exp"` | c = (b + shift) * exp(bound * tanh(s / bound)) |
    | `"affine_softsign"` | c = b * exp(bound * s / (bound + abs(s))) + shift |
    | `"spline"` | c = a monotone rational-quadratic spline of b |
    | `"logistic_mixture"` | c = logit(sum_k pi_k sigmoid((b - mu_k) / s_k)) * exp(a) + shift |

    The network's output is the law's parameters, (shift, s) for instance, one after the other
    along the channels, each with the channels of b.

    | mask | kept |
    | --- | --- |
    | `"first_half"`, `"second_half"` | half of the channels |
    | `"even"`, `"odd"` | the channels at those places |
    | `"checkerboard_even"`, `"checkerboard_odd"` | the positions whose row + column is so |
    | booleans, one a channel | the channels that are True |

    On a checkerboard the network sees the whole image, with zeros where it is transformed,
    and gives parameters for every position.

    Args:
      network: A built Keras layer or model, or any callable, from the kept channels
        `[batch, ..., kept]` to the law's parameters. With a condition it is called on the
        list `[kept, condition]`. Leading dimensions are folded into one for it. Or a factory
        of such a network, `network(inputs=shape, outputs=channels)`, called with a
        `condition_size` too where there is a condition, as the classes of `tfp_glow.networks` are.
      law: Name of a law, an object with `forward`, `inverse` and `parameters_per_channel`, as in
        `tfp_glow.laws`, or a function from the network's output to a `tfb.Bijector`
        that generates b from c, element by element.
      mask: What is kept.
      event_ndims: 1 for vectors, 3 for images: the dimensions that the network sees whole; those
        of `event_shape`, or 1, when omitted.
      event_shape: Shape of an event, `size` or `(H, W, C)`, which a factory needs.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      reach: The network sees the kept values clipped to [-reach, reach], so that it is constant
        where no data are; None for as they are.
      dtype: dtype of the values; the network may compute in another.
      name: Name of the bijector.

    Shapes: `[..., channels]` or `[..., H, W, C]` both ways, the log-det `[...]`.

    Raises:
      ValueError: If the network is not built, the mask leaves nothing to keep or to transform,
        the network's output does not fit the law, or a factory lacks `event_shape`.
      TypeError: If `network` is not callable.

    Example:

        coupling = Coupling(MLP, law="affine", event_shape=4)
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
        mask: MaskName | Sequence[bool] = "first_half",
        event_ndims: int | None = None,
        event_shape: int | Sequence[int] | None = None,
        condition_shape: Iterable[int] | None = None,
        reach: float | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        law = get_law(law)
        if isinstance(mask, str):
            check_choice(mask, get_args(MaskName), "mask")
        event_ndims, event_shape = event_dimensions(event_ndims, event_shape)
        inputs = outputs = None
        if event_shape is not None:
            inputs, transformed = kept_and_transformed(mask, event_shape)
            outputs = law.parameters_per_channel and law.parameters_per_channel * transformed
        network = conditioner(
            network, inputs=inputs, outputs=outputs, condition_shape=condition_shape
        )
        super().__init__(
            forward_min_event_ndims=event_ndims,
            channels=event_shape and event_shape[-1],
            condition_shape=condition_shape,
            dtype=dtype,
            name=name,
        )
        self._law, self._mask, self._reach = law, mask, check_reach(reach)
        hold_network(self, network)

    def _forward_and_log_det(self, z, condition=None):
        return self._transform(FORWARD, z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._transform(INVERSE, x, condition)

    def _transform(self, direction: Pass, value, condition):
        mask = self._mask_of(value)
        kept, rest = mask.split(value)
        raw = self._parameters_of_law(kept, rest, condition)
        rest, log_det = self._apply_law(mask, direction, rest, raw)
        return mask.join(kept, rest), log_det

    def _mask_of(self, value) -> Mask:
        event_shape = value.shape[-self.forward_min_event_ndims :]
        if event_shape[-1] is None:
            raise ValueError(
                f"{self.name} must know how many channels a value has, from event_shape or as "
                f"tf.ensure_shape gives it. Received: shape {tuple(value.shape)}."
            )
        return get_mask(self._mask, event_shape)

    def _apply_law(self, mask: Mask, direction: Pass, rest, raw):
        rest, log_det = direction.law(self._law, rest, raw)
        log_det = mask.where_transformed(log_det)
        return rest, tf.reduce_sum(log_det, list(range(-self.forward_min_event_ndims, 0)))

    def rebuild_and_differentiate(self, direction, output, condition, gradients) -> Rebuilt:
        """One evaluation of the network rebuilds the input and is differentiated itself."""
        mask, variables = self._mask_of(output), trainable_tensors(self)
        kept, rest = mask.split(output)
        with tf.GradientTape(watch_accessed_variables=False) as network_tape:
            network_tape.watch([kept, *variables.values(), *differentiable(condition)])
            raw = self._parameters_of_law(kept, rest, condition)
        value, _ = self._apply_law(mask, direction.opposite, rest, raw)
        kept_gradient, rest_gradient = mask.split(gradients[0])
        with tf.GradientTape(watch_accessed_variables=False) as law_tape:
            law_tape.watch([value, raw])
            result = self._apply_law(mask, direction, value, raw)
        value_gradient, raw_gradient = law_tape.gradient(
            result, [value, raw], (rest_gradient, gradients[1])
        )
        network = read_tape(network_tape, raw, raw_gradient, kept, variables, condition)
        return Rebuilt(
            mask.join(kept, value),
            mask.join(kept_gradient + network.gradient, value_gradient),
            network.variables,
            network.condition,
        )

    def _parameters_of_law(self, kept, rest, condition):
        kept, ndims = within_reach(kept, self._reach), self.forward_min_event_ndims
        raw = with_one_batch_dimension(self._network, kept, ndims, condition)
        check_parameters(raw, rest, self._law, self.name)
        return tf.cast(raw, rest.dtype)

    def _initialize(self, x, condition=None):
        if isinstance(self._network, Stateful):
            kept = within_reach(self._mask_of(x).split(x)[0], self._reach)
            initialize, ndims = self._network.initialize, self.forward_min_event_ndims
            with_one_batch_dimension(initialize, kept, ndims, condition)
        return self._inverse_and_log_det(x, condition)[0]
