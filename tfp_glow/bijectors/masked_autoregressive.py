"""The masked autoregressive flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.conditioner import check_reach, conditioner, hold_network, within_reach
from tfp_glow.core.shapes import with_one_batch_dimension
from tfp_glow.core.sparsity import is_autoregressive
from tfp_glow.laws.elementwise import Law, check_parameters, get_law
from tfp_glow.solvers.autoregressive import solve_autoregressive

__all__ = ["MaskedAutoregressive"]

# Up to as many values whole passes are faster.
_FEW = 8


class MaskedAutoregressive(FlowBijector):
    """Transforms every value by a law whose parameters depend on the values before it.

        inverse:  z_d = law^-1(x_d; network(x)_d)    log|det dz/dx| = sum_d log|dz_d/dx_d|
        forward:  x_d = law(z_d; network(x)_d)       for one d after the other

    where network(x)_d reads only the x that come before x_d in the network's order. `inverse`
    evaluates the network once. So does `forward` over a `MADE`, unit by unit: its arithmetic is
    that of one density, but in as many short steps as there are values. Any other network it
    evaluates until no value changes any more, as often as there are values at most.
    `Invert` of it, the inverse autoregressive flow, has it the other way round.

    It stands beside `tfb.MaskedAutoregressiveFlow`, with whose values it agrees, because that one
    evaluates the network twice for a density and hides a Keras 3 network's variables.

    Args:
      network: A built Keras layer or model, or any callable, from `[batch, size]` to the
        law's parameters, such as `MADE`. With a condition it is called on the list
        `[x, condition]`. Or a factory of one, as for `Coupling`. What has a method `one_by_one`
        like MADE's is generated from by that.
      law: What is done to each value; see `Coupling`.
      event_shape: Size of an event, which a factory needs.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      reach: The network sees values clipped to [-reach, reach]; see `Coupling`.
      dtype: dtype of the values; the network may compute in another.
      name: Name of the bijector.

    Shapes: `[..., size]` both ways, the log-det `[...]`.

    Raises:
      ValueError: If the network is not built, its output does not fit the law, or it is seen not
        to be autoregressive: changes of the inputs, one by one, show what reads what, as far as
        the weights of the moment connect it. That is looked at where the size is known and
        code runs eagerly.
      NotImplementedError: From the second derivatives of `forward` over more than a few values
        where the network is no `MADE`, or the law a function to a bijector.
      TypeError: If `network` is not callable.

    Example:

        flow = MaskedAutoregressive(functools.partial(MADE, hidden_units=(64,)), event_shape=4)
        z = flow.inverse(tf.random.normal([8, 4]))

    References:
      Papamakarios, Pavlakou and Murray, "Masked Autoregressive Flow for Density Estimation",
      arXiv:1705.07057.
      Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow",
      arXiv:1606.04934.
    """

    def __init__(
        self,
        network: Callable,
        *,
        law: str | Law | Callable = "affine_exp",
        event_shape: int | None = None,
        condition_shape: Iterable[int] | None = None,
        reach: float | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        law, inputs, outputs = get_law(law), None, None
        if event_shape is not None:
            inputs = (check_positive_int(event_shape, "event_shape"),)
            outputs = law.parameters_per_channel and law.parameters_per_channel * event_shape
        network = conditioner(
            network, inputs=inputs, outputs=outputs, condition_shape=condition_shape
        )
        size = event_shape or _inputs_of(network)
        super().__init__(
            forward_min_event_ndims=1,
            channels=size,
            condition_shape=condition_shape,
            dtype=dtype,
            name=name,
        )
        self._law, self._reach = law, check_reach(reach)
        hold_network(self, network)
        is_seen = size and law.parameters_per_channel and tf.executing_eagerly()
        if is_seen and not getattr(network, "autoregressive_by_masks", False):
            self._check_autoregressive(size)

    def _inverse_and_log_det(self, x, condition=None):
        z, log_det = self._law.inverse(x, self._parameters_of_law(x, condition))
        return z, tf.reduce_sum(log_det, -1)

    def _forward_and_log_det(self, z, condition=None):
        one_by_one = getattr(self._network, "one_by_one", None)
        if z.shape[-1] <= _FEW:
            x, log_det = self._pass_for_each_value(z, condition)
        elif one_by_one is None or self._law.parameters_per_channel is None:
            x, log_det = self._solve(z, condition)
        else:
            x, log_det = one_by_one(self._choose, z, condition)
        return x, tf.reduce_sum(log_det, -1)

    def _pass_for_each_value(self, z, condition):
        x = tf.zeros_like(z)
        for _ in range(z.shape[-1]):
            x, log_det = self._one_pass(z, x, condition)
        return x, log_det

    def _choose(self, z, raw):
        """What the network sees of one value, the value, and its log-det."""
        check_parameters(raw, z, self._law, self.name)
        x, log_det = self._law.forward(z, tf.cast(raw, z.dtype))
        if x.shape[-1] != 1:
            raise ValueError(
                "law must do the same to every channel. "
                f"Received: {self._law}, which makes {x.shape[-1]} values of one."
            )
        return within_reach(x, self._reach), x, log_det

    def _solve(self, z, condition):
        """Evaluates the whole network until the values stay as they are."""

        def values(x):
            return self._one_pass(z, x, condition)[0]

        x = solve_autoregressive(values, tf.zeros_like(z), name=self.name)
        return x, self._one_pass(z, x, condition)[1]

    def _one_pass(self, z, x, condition):
        """All values and their log-dets, right where the values before them are right in x."""
        return self._law.forward(z, self._parameters_of_law(x, condition))

    def _check_autoregressive(self, size: int) -> None:
        def network(x):
            shape = self.condition_shape
            condition = None if shape is None else tf.zeros([*x.shape[:1], *shape], x.dtype)
            return self._parameters_of_law(x, condition)

        if not is_autoregressive(network, size, self.dtype):
            raise ValueError(
                "network must be autoregressive: no output may read its own input, or inputs that "
                f"read it in their turn. Received: {self._network!r}, which is not."
            )

    def _parameters_of_law(self, x, condition):
        seen = within_reach(x, self._reach)
        raw = with_one_batch_dimension(self._network, seen, 1, condition)
        check_parameters(raw, x, self._law, self.name)
        return tf.cast(raw, x.dtype)


def _inputs_of(network: Callable) -> int | None:
    """The size of a Keras model's input, where the model tells it."""
    shape = getattr(network, "input_shape", None)
    return shape[-1] if isinstance(shape, tuple) else None
