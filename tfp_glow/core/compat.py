"""Everything private of TFP, TensorFlow and Keras that this package leans on, in one place.

| here | without it |
| --- | --- |
| `TransformedDistribution`, TFP's class for most bijectors | Keras variables vanish from flows |
| `untracked`: `AutoTrackable._no_dependency` | lists come back wrapped, layers are saved twice |
| `tracks_attributes`: `_self_setattr_tracking` | TensorFlow's own notes become parts |
| `VariableWatcher` | networks that would not train are not refused |
| `in_xla`: `control_flow_util` | convolutions in compiled loops are slow on a CPU |
| `anything_records`, `tapes_watching`: `pywrap_tfe` | a remembered pass can hide a gradient |
| `may_have_written`: `Graph.get_operations`, `op_def` | it can be older than an assignment |
| `declares_its_parameters`: `CompositeTensor` | it can be older than a hidden variable |
| `keras_call_context`, `in_call_context`: `global_state` | gradients leave the training phase |
| `outside_of_traces`: `global_state` | a layer with a loop must be built before it is traced |
| `layers_inside`: `Layer._flatten_layers` | regularizers of activations are lost in loops |
| `has_density`: `DiscreteDistributionMixin` | a flow of counts has a wrong density |
| `innermost`: `unnest.get_innermost` | the two kernels' statistics are read in two ways |
| `latents_by_name` and the like: `JointDistributionPinned` | errors cannot name a latent |
| `View`: `keras.Variable` over a `tf.Variable` makes no copy | `FlowModel` trains copies |
| `View`: `keras.Variable._trainable` | what is frozen trains |
| `_NumPyForPad`: `tfb.Pad`'s module | simplices, as of `tfd.Dirichlet`, fail with NumPy 2.4 |

TFP's `Bijector` calls `_cache.forward`, `_cache.inverse` and their `_attributes`, which
`core/memory.py` provides, and hashes a bijector by `_get_parameterization`.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras.src.backend.common import global_state
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager.record import VariableWatcher, could_possibly_record
from tensorflow.python.ops import control_flow_util
from tensorflow_probability.python.bijectors import pad
from tensorflow_probability.python.distributions.distribution import DiscreteDistributionMixin
from tensorflow_probability.python.distributions.transformed_distribution import (
    _TransformedDistribution as TransformedDistribution,
)
from tensorflow_probability.python.internal.unnest import get_innermost as innermost

__all__ = [
    "TransformedDistribution",
    "VariableWatcher",
    "View",
    "anything_records",
    "declares_its_parameters",
    "has_density",
    "in_call_context",
    "in_xla",
    "innermost",
    "is_training",
    "keras_call_context",
    "latent_distributions",
    "latents_by_name",
    "layers_inside",
    "log_prob_by_name",
    "may_have_written",
    "outside_of_traces",
    "tapes_watching",
    "tracks_attributes",
    "untracked",
]

_CALL_CONTEXT, _STATELESS_SCOPE = "current_call_ctx", "stateless_scope"
# Stateful operations that write to no variable.
_READS = {"Assert", "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"}


class _NumPyForPad:
    """NumPy, whose `reshape` still takes `newshape`, by which TFP 0.25 calls it."""

    def __getattr__(self, name: str):
        return getattr(np, name)

    @staticmethod
    def reshape(a, shape=None, *, newshape=None):
        return np.reshape(a, newshape if shape is None else shape)


pad.np = _NumPyForPad()


def declares_its_parameters(module: tf.Module) -> bool:
    """Whether all that the results of a stock bijector depend on stands among its variables."""
    return isinstance(module, tf.__internal__.CompositeTensor)


def has_density(distribution: tfp.distributions.Distribution) -> bool:
    """Whether neither it nor what it is made of has probabilities of single values instead."""
    parts = (
        getattr(distribution, name, None) for name in ("distribution", "components_distribution")
    )
    return (
        not isinstance(distribution, DiscreteDistributionMixin)
        and all(dtype.is_floating for dtype in tf.nest.flatten(distribution.dtype))
        and all(part is None or has_density(part) for part in parts)
    )


def tracks_attributes(module: tf.Module) -> bool:
    """Whether what is assigned to the module now is meant for it, not TensorFlow's own note."""
    return getattr(module, "_self_setattr_tracking", True)


def untracked(module: tf.Module, value):
    """`value`, in a form that an attribute of the module gives back as it is."""
    return module._no_dependency(value)


def in_xla(graph: tf.Graph) -> bool:
    """Whether XLA compiles the graph."""
    return control_flow_util.GraphOrParentsInXlaContext(graph)


def anything_records() -> bool:
    """Whether a tape or a forward accumulator is active."""
    return could_possibly_record()


def tapes_watching(tensors: list) -> int:
    """How many tapes and forward accumulators would record an operation on one of the tensors.

    2 stands for more than one, and for a persistent tape.
    """
    return pywrap_tfe.TFE_Py_TapeSetPossibleGradientTypes(tensors)


def may_have_written(graph: tf.Graph, start: int) -> bool:
    """Whether an operation that can change a variable came into the graph at `start` or later."""
    return any(
        operation.op_def.is_stateful and operation.type not in _READS
        for operation in graph.get_operations()[start:]
    )


def keras_call_context():
    """What the Keras layers that are being called hand to those inside, None outside of a call."""
    return copy.copy(global_state.get_global_attribute(_CALL_CONTEXT))


def is_training() -> bool:
    """Whether Keras layers that are called here are in training, if not told otherwise."""
    return bool(getattr(keras_call_context(), "training", False))


def in_call_context(context) -> contextlib.AbstractContextManager[None]:
    """Layers inside are called as if by those that had this context."""
    return _global_attribute(_CALL_CONTEXT, context)


@contextlib.contextmanager
def outside_of_traces() -> Iterator[None]:
    """Variables made inside have values at once, where a layer is built while it is traced, too."""
    with tf.init_scope(), _global_attribute(_STATELESS_SCOPE, None):
        yield


@contextlib.contextmanager
def _global_attribute(name: str, value) -> Iterator[None]:
    before = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, value)
    try:
        yield
    finally:
        global_state.set_global_attribute(name, before)


def layers_inside(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layer and all that it is made of."""
    return list(layer._flatten_layers())


def latent_distributions(joint) -> dict[str, tfp.distributions.Distribution]:
    """The distribution of each latent of a pinned joint distribution, by its name."""
    distributions = joint._get_single_sample_distributions()
    return dict(zip(joint._flat_resolve_names(), distributions, strict=True))


def latents_by_name(joint, latents) -> dict:
    """The parts of a structure of the latents, by their names."""
    return dict(zip(joint._flat_resolve_names(), joint._model_flatten(latents), strict=True))


def log_prob_by_name(joint, latents) -> dict[str, tf.Tensor]:
    """The log-density of each part of a pinned joint distribution, the pinned ones included."""
    model = joint.distribution
    parts = model.unnormalized_log_prob_parts(joint._add_pins(**latents_by_name(joint, latents)))
    return dict(zip(model._flat_resolve_names(), model._model_flatten(parts), strict=True))


class View(keras.Variable):
    """A Keras variable over the storage of a `tf.Variable`."""

    def __init__(self, variable: tf.Variable):
        self._others = ()
        super().__init__(
            variable,
            dtype=variable.dtype.name,
            trainable=variable.trainable,
            autocast=False,
            name=variable.name.split(":")[0].replace("/", "_"),
        )

    def follow(self, others: Sequence[keras.Variable]) -> None:
        """From now on this one is frozen where another over the same storage is.

        Not from the start: what is frozen when a model is made decides in which order Keras saves.
        """
        self._others = others

    @property
    def trainable(self) -> bool:
        return self._trainable and all(other.trainable for other in self._others)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
