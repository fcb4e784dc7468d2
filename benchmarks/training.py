"""Training steps of TensorFlow distributions, as a tf.function or as an XLA program."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from benchmarks.common import IMAGE_SHAPE, LEVELS
from tfp_glow import Flow, flows
from tfp_glow.core.modes import Backend, lower_for

__all__ = [
    "FLOWS",
    "LEARNING_RATE",
    "Program",
    "adamax",
    "bits_per_dim",
    "export",
    "glow",
    "jet",
    "tarflow",
    "train_step",
]

LEARNING_RATE = 1e-3


def glow(*, steps: int, width: int, **options) -> Flow:
    """`flows.glow` in the benchmarks' configuration."""
    return flows.glow(
        IMAGE_SHAPE, levels=LEVELS, steps=steps, hidden_channels=width, seed=0, **options
    )


def jet(*, steps: int, width: int, **options) -> Flow:
    """`flows.jet` of so many couplings, over channels and tokens in turn."""
    return flows.jet(
        IMAGE_SHAPE, blocks=steps // 2, channel_couplings=1, width=width, seed=0, **options
    )


def tarflow(*, steps: int, width: int, **options) -> Flow:
    """`flows.tarflow` of `steps` blocks."""
    return flows.tarflow(IMAGE_SHAPE, blocks=steps, width=width, seed=0, **options)


FLOWS = {"glow": glow, "jet": jet, "tarflow": tarflow}


def bits_per_dim(distribution, x):
    """The loss: mean negative log-likelihood, in bits per dimension."""
    return -tf.reduce_mean(distribution.log_prob(x)) / (math.prod(IMAGE_SHAPE) * math.log(2))


def train_step(distribution, *, jit: bool = False) -> tf.types.experimental.PolymorphicFunction:
    """`step(x) -> loss`: loss, gradients and Adamax update of a distribution's variables."""
    optimizer = keras.optimizers.Adamax(LEARNING_RATE)
    variables = distribution.trainable_variables
    optimizer.build(variables)

    @tf.function(jit_compile=jit)
    def step(x):
        with tf.GradientTape() as tape:
            loss = bits_per_dim(distribution, x)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step


@dataclass(frozen=True)
class Program:
    """A training step without state of its own.

    Attributes:
      hlo: The program, `(x, *state, *constants) -> (loss, *new_state)`, a serialized HloModule.
      state: Initial values of what is trained, then of Adamax's own.
      constants: Values that training leaves alone.
    """

    hlo: bytes
    state: list[np.ndarray]
    constants: list[np.ndarray]


def export(flow: Flow, *, batch: int, backend: Backend) -> Program:
    """The XLA program of a flow's training step, traced for a backend."""
    variables = flow.bijector.keras_variables
    trained = [v for v in variables if v.trainable]
    fixed = [v for v in variables if not v.trainable]
    values = [v.numpy() for v in trained]
    zeros = [np.zeros_like(value) for value in values]
    state = [*values, *zeros, *zeros, np.zeros([], "float32")]
    constants = [v.numpy() for v in fixed]
    step = _stateless_step(flow, trained, fixed)
    inputs = [tf.TensorSpec((batch, *IMAGE_SHAPE))]
    inputs += [tf.TensorSpec(value.shape, value.dtype) for value in (*state, *constants)]
    with lower_for(backend):
        hlo = step.experimental_get_compiler_ir(*inputs)(stage="hlo_serialized")
        # Tensors that the flow holds, such as its base's location, follow the arguments.
        captured = step.get_concrete_function(*inputs).captured_inputs
    return Program(hlo, state, [*constants, *(tensor.numpy() for tensor in captured)])


def _stateless_step(flow: Flow, trained: list, fixed: list) -> Callable:
    """The training step with all variables as arguments: trained, Adamax's, fixed."""
    count = len(trained)

    @tf.function(jit_compile=True, autograph=False)
    def step(x, *values):
        parameters, moments, norms = (list(values[i * count : (i + 1) * count]) for i in range(3))
        time, *constants = values[3 * count :]
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            given = zip([*trained, *fixed], [*parameters, *constants], strict=True)
            with keras.StatelessScope(list(given)):
                loss = bits_per_dim(flow, x)
        gradients = tape.gradient(loss, parameters)
        updated = [
            adamax(*old, time + 1.0)
            for old in zip(parameters, gradients, moments, norms, strict=True)
        ]
        return loss, *(value for kind in zip(*updated, strict=True) for value in kind), time + 1.0

    return step


def adamax(parameter, gradient, moment, norm, time) -> tuple:
    """One update by Adamax (arXiv:1412.6980): the new parameter, moment and norm.

    Keras' optimizers cannot be used without their variables on TensorFlow.
    """
    moment = 0.9 * moment + 0.1 * gradient
    norm = tf.maximum(0.999 * norm, tf.abs(gradient))
    rate = LEARNING_RATE / (1.0 - 0.9**time)
    return parameter - rate * moment / (norm + 1e-7), moment, norm
