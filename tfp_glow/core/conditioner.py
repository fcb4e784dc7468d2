"""The network of a layer: one that is given, or one that a factory makes to the layer's sizes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tfp_glow.core.checks import check_number
from tfp_glow.core.holder import Holder

__all__ = ["check_reach", "conditioner", "hold_network", "within_reach"]


def conditioner(
    network: Callable, *, inputs: Sequence[int] | None, outputs: int | None, condition_shape
) -> Callable:
    """`network`, or what it makes of the sizes where it is a factory.

    A factory is any callable with the arguments `inputs` and `outputs`, such as a class of
    `tfp_glow.networks` or a `functools.partial` of one. Where there is a condition it is
    called with its `condition_size` as well.

    Args:
      network: A network or a factory.
      inputs: Shape of what the network reads, None where it is not known.
      outputs: Channels that it gives, None where any will do.
      condition_shape: Event shape `(k,)` of the condition, or None.

    Raises:
      TypeError: If `network` is not callable.
      ValueError: If a factory is given and the sizes are not known.
    """
    if not callable(network):
        raise TypeError(f"network must be callable. Received: {network!r}.")
    if not _is_factory(network):
        return network
    if inputs is None or outputs is None:
        raise ValueError(
            "event_shape and a law of known size are needed where network is a factory. "
            f"Received: {network!r} without them."
        )
    condition = {} if condition_shape is None else {"condition_size": condition_shape[0]}
    return network(inputs=tuple(inputs), outputs=outputs, **condition)


def hold_network(holder: Holder, network: Callable) -> None:
    """Assigns a network to `holder._network`, and notes whether its variables can be seen."""
    holder._network = network
    if not isinstance(network, keras.layers.Layer | tf.Module):
        holder._opaque = True


def check_reach(value, argument: str = "reach") -> float | None:
    """Returns `value` if it is a positive number or None."""
    return None if value is None else check_number(value, argument, above=0)


def within_reach(value, reach: float | None):
    """What a network sees of a value: itself within [-reach, reach], and that bound beyond.

    Past all data a network goes on in straight lines. Layers that follow each other multiply what
    they make of an outlier, until its latents cannot be told apart in float32.
    """
    return value if reach is None else tf.clip_by_value(value, -reach, reach)


def _is_factory(network: Callable) -> bool:
    if isinstance(network, keras.layers.Layer):
        return False
    try:
        arguments = inspect.signature(network).parameters
    except (TypeError, ValueError):
        return False  # Some functions written in C have none.
    return {"inputs", "outputs"} <= set(arguments)
