"""An autoregressive flow over tokens, whose network remembers what it computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.checks import check_sizes
from tfp_glow.core.conditioner import check_reach, conditioner, hold_network, within_reach
from tfp_glow.core.guidance import as_guided
from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.laws.elementwise import Law, check_parameters, get_law

__all__ = ["AutoregressiveTokens"]


class AutoregressiveTokens(FlowBijector):
    """Transforms every token by a law whose parameters depend on the tokens before it.

        inverse:  z_t = law^-1(x_t; network(x)_t)    log|det dz/dx| = sum of log|dz_tc/dx_tc|
        forward:  x_t = law(z_t; network(x)_t)       for one t after the other

    where network(x)_t reads x_0 .. x_{t-1}. `inverse` evaluates the network once. `forward` is one
    loop over the tokens that asks the network for a step at a time; a transformer computes the keys
    and values of each token once and keeps them, so that all steps together cost about as much as
    one density.

    Args:
      network: A built Keras layer with the calls of `CausalTransformer`: itself on
        `[batch, tokens, channels]`, or the list of that and a condition, gives the law's parameters
        `[batch, tokens, k * channels]`; `empty_cache(batch)` and
        `step(previous, index, cache, condition)` give them token by token. Or a factory of
        one, as for `Coupling`.
      law: What is done to each value; see `Coupling`.
      event_shape: `(tokens, channels)`, which a factory needs.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      reach: The network sees values clipped to [-reach, reach]; see `Coupling`.
      dtype: dtype of the values; the network may compute in another.
      name: Name of the bijector.

    Shapes: `[..., tokens, channels]` both ways, the log-det `[...]`.

    Raises:
      TypeError: If `network` is not callable or has no `step` and `empty_cache`.
      ValueError: If it is not built, or its output does not fit the law.

    Example:

        factory = functools.partial(CausalTransformer, width=64)
        flow = AutoregressiveTokens(factory, event_shape=(49, 4))
        z = flow.inverse(tf.random.normal([8, 49, 4]))

    References:
      Zhai et al., "Normalizing Flows are Capable Generative Models", arXiv:2412.06329.
    """

    def __init__(
        self,
        network: Callable,
        *,
        law: str | Law | Callable = "affine_exp",
        event_shape: Sequence[int] | None = None,
        condition_shape: Iterable[int] | None = None,
        reach: float | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        law, outputs = get_law(law), None
        if event_shape is not None:
            event_shape = check_sizes(event_shape, "event_shape")
            outputs = law.parameters_per_channel and law.parameters_per_channel * event_shape[-1]
        network = conditioner(
            network, inputs=event_shape, outputs=outputs, condition_shape=condition_shape
        )
        for method in ("step", "empty_cache"):
            if not hasattr(network, method):
                raise TypeError(
                    f"network must have the methods step and empty_cache. Received: {network!r}."
                )
        super().__init__(
            forward_min_event_ndims=2, condition_shape=condition_shape, dtype=dtype, name=name
        )
        self._law, self._reach = law, check_reach(reach)
        hold_network(self, network)

    @property
    def takes_guidance(self) -> bool:
        return self.condition_shape is not None

    def _inverse_and_log_det(self, x, condition=None):
        seen = within_reach(x, self._reach)
        network = as_guided(self._network, condition)
        raw = with_one_batch_dimension(network, seen, 2, condition)
        z, log_det = self._law.inverse(x, self._checked_parameters(raw, x))
        return z, tf.reduce_sum(log_det, [-2, -1])

    def _forward_and_log_det(self, z, condition=None):
        return with_one_batch_dimension(self._generate, z, 2, condition)

    def _generate(self, inputs) -> tuple:
        z, condition = split_condition(inputs)
        network, tokens = as_guided(self._network, condition), z.shape[1]
        # As arrays, whose gradients write one element a token.
        latents = tf.TensorArray(z.dtype, tokens).unstack(tf.transpose(z, [1, 0, 2]))
        values = tf.TensorArray(z.dtype, tokens, element_shape=[z.shape[0], z.shape[2]])

        def body(index, previous, cache, values, log_det):
            seen = within_reach(previous, self._reach)
            raw, cache = network.step(seen, index, cache, condition)
            raw = tf.ensure_shape(raw, [z.shape[0], None])
            latent = tf.ensure_shape(latents.read(index), previous.shape)
            x, change = self._law.forward(latent, self._checked_parameters(raw, latent))
            return index + 1, x, cache, values.write(index, x), log_det + tf.reduce_sum(change, -1)

        state = (
            tf.constant(0),
            tf.zeros_like(z[:, 0]),
            network.empty_cache(tf.shape(z)[0]),
            values,
            tf.zeros_like(z[:, 0, 0]),
        )
        *_, values, log_det = tf.while_loop(
            lambda index, *_: index < tokens, body, state, maximum_iterations=tokens
        )
        return tf.transpose(values.stack(), [1, 0, 2]), log_det

    def _checked_parameters(self, raw, value):
        check_parameters(raw, value, self._law, self.name)
        return tf.cast(raw, value.dtype)
