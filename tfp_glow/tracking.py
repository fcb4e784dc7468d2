"""Keras networks made visible to stock TFP bijectors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import tensorflow as tf

from tfp_glow.core.compat import VariableWatcher
from tfp_glow.core.holder import Holder

__all__ = ["Tracked", "variables_all_tracked"]


class Tracked(Holder):
    """A callable that shows TFP the weights of the Keras networks it uses.

    A stock TFP bijector takes functions, such as `shift_and_log_scale_fn`, and looks for
    variables where `tf.Module` does, which is not inside a Keras 3 layer. Held through this
    class, the networks' weights train, are saved and are exported with the bijector.

    Args:
      function: Function to call; a single Keras layer or model needs no `networks`.
      networks: The built Keras layers or models that `function` uses.
      name: Name of the module.

    Raises:
      TypeError: If `function` is not callable or a network is no Keras layer.
      ValueError: If a network is not built, or there is none.

    Example:

        network = keras.Sequential([keras.Input([1]), keras.layers.Dense(2)])
        shift_and_log_scale = Tracked(lambda x, units: tf.split(network(x), 2, -1), [network])
        bijector = tfb.RealNVP(num_masked=1, shift_and_log_scale_fn=shift_and_log_scale)
    """

    def __init__(
        self,
        function: Callable,
        networks: Sequence[keras.layers.Layer] = (),
        *,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if not callable(function):
            raise TypeError(f"function must be callable. Received: {function!r}.")
        if isinstance(function, keras.layers.Layer):
            networks = [function, *networks]
        if not networks:
            raise ValueError("networks must name the Keras networks that function uses.")
        for network in networks:
            _check_built(network)
        self._function, self._parts = function, list(networks)
        self._opaque = True

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)


def _check_built(network) -> None:
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(f"networks must hold Keras layers or models. Received: {network!r}.")
    if not network.built:
        raise ValueError(
            f"networks must be built, by calling each once. Received: {network.name!r}, unbuilt."
        )


@contextlib.contextmanager
def variables_all_tracked(known: Iterable[tf.Variable]) -> Iterator[None]:
    """Raises ValueError where the code inside uses other variables than those that are known.

    They are hidden in a distribution, where `tf.Module` does not see them.

    A gradient tape would tell the same, but makes TensorFlow prepare loops for gradients of
    gradients, at several times the cost of tracing them.
    """
    with VariableWatcher() as watcher:
        yield
    known = {id(v) for v in known}
    hidden = [v.name for v in watcher.watched_variables() if id(v) not in known]
    if hidden and not tf.distribute.has_strategy():
        raise ValueError(
            f"The distribution uses the variables {hidden}, which tf.Module does not see in it: "
            "they would not be trained or saved. Wrap the Keras network they belong to, as in "
            "tfp_glow.Tracked(network) or tfp_glow.Tracked(function, [network])."
        )
