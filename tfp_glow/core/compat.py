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
| `view`: `keras.Variable` over a `tf.Variable` makes no copy | `FlowModel` trains copies |

TFP's `Bijector` calls `_cache.forward`, `_cache.inverse` and their `_attributes`, which
`core/memory.py` provides, and hashes a bijector by `_get_parameterization`.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager.record import VariableWatcher, could_possibly_record
from tensorflow.python.ops import control_flow_util
from tensorflow_probability.python.distributions.transformed_distribution import (
    _TransformedDistribution as TransformedDistribution,
)

__all__ = [
    "TransformedDistribution",
    "VariableWatcher",
    "anything_records",
    "declares_its_parameters",
    "in_xla",
    "may_have_written",
    "tapes_watching",
    "tracks_attributes",
    "untracked",
    "view",
]

# Stateful operations that write to no variable.
_READS = {"Assert", "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"}


def declares_its_parameters(module: tf.Module) -> bool:
    """Whether all that the results of a stock bijector depend on stands among its variables."""
    return isinstance(module, tf.__internal__.CompositeTensor)


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


def view(variable: tf.Variable) -> keras.Variable:
    """A Keras variable over the storage of a `tf.Variable`."""
    return keras.Variable(
        variable,
        dtype=variable.dtype.name,
        trainable=variable.trainable,
        autocast=False,
        name=variable.name.split(":")[0].replace("/", "_"),
    )
