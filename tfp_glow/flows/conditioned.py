"""A flow whose condition a network reads."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_glow.bijectors import Conditioned
from tfp_glow.flow import Flow
from tfp_glow.flows.recipe import recipe

__all__ = ["conditioned"]


@recipe()
def conditioned(
    flow: Flow, condition_network: keras.layers.Layer, condition_shape: int | Sequence[int]
) -> Flow:
    """A conditional flow that learns what to read in its condition; see `Conditioned`.

        log p(x given y) = flow.log_prob(x, condition=condition_network(y))

    In simulation-based inference x are parameters, y simulated observations, and the network makes
    summary statistics of them, which are trained with the flow.

    Args:
      flow: A flow with a `condition_size`, trained or not. Its variables are shared.
      condition_network: A Keras layer or model, built or not, from `[batch, *condition_shape]` to
        `[batch, condition_size]`. For `model.save` it must be one that Keras can save.
      condition_shape: Shape of an observation y, an int for vectors.

    Returns:
      A `Flow` on the same data.

    Raises:
      TypeError: If `flow` is no Flow or `condition_network` no Keras layer.
      ValueError: If the flow takes no vector as its condition, or the network gives another size.

    Example:

        network = keras.Sequential([keras.layers.GRU(16), keras.layers.Dense(8)])
        flow = conditioned(maf(2, condition_size=8), network, condition_shape=(50, 3))
        model = FlowModel(flow)
        model.compile("adam")
        model.fit(parameters, series, epochs=10)
        posterior = flow.sample(1000, condition=observed)
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow. Received: {flow!r}.")
    shape = (condition_shape,) if isinstance(condition_shape, int) else condition_shape
    bijector = Conditioned(flow.bijector, condition_network, shape)
    return Flow(flow.distribution, bijector, name="conditioned")
