"""Training steps of TensorFlow distributions, as a tf.function or as an XLA program."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
    "adam",
    "bits_per_dim",
    "export",
    "export_evaluation",
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
    return in_bits_per_dim(distribution.log_prob(x))


def in_bits_per_dim(log_prob):
    """The mean of negative log-likelihoods in nats, in bits per dimension."""
    return -tf.reduce_mean(log_prob) / (math.prod(IMAGE_SHAPE) * math.log(2))


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
    """A computation without state of its own, `(*arguments, *state, *constants) -> results`.

    Attributes:
      hlo: A serialized HloModule.
      state: Initial values of what the computation gives back changed.
      constants: Values that stay.
    """

    hlo: bytes
    state: list[np.ndarray]
    constants: list[np.ndarray]


def export(flow: Flow, *, batch: int, backend: Backend) -> Program:
    """The XLA program of a flow's training step, traced for a backend.

    It is `(x, rate, *state, *constants) -> (loss, *state)` by Adam at a rate, with gradients
    clipped to a norm of 1. The state is what is trained, then Adam's own.
    """
    variables = _Variables.of(flow)
    values = variables.trained_values
    zeros = [np.zeros_like(value) for value in values]
    state = [*values, *zeros, *zeros, np.zeros([], "float32")]
    arguments = [tf.TensorSpec((batch, *IMAGE_SHAPE)), tf.TensorSpec([])]
    return _lowered(_stateless_step(flow, variables), arguments, state, variables, backend)


def export_evaluation(flow: Flow, *, batch: int, backend: Backend) -> Program:
    """The XLA program of a flow's evaluation, traced for a backend.

    It is `(x, z, *parameters, *constants) -> (loss, error, samples)`, with the largest error of
    decode(encode(x)) and the samples of z.
    """
    variables = _Variables.of(flow)

    @tf.function(jit_compile=True, autograph=False)
    def evaluate(x, z, *values):
        with variables.set_to(values):
            encoded, log_prob = flow.encode_and_log_prob(x)
            # Through `identity`, lest a cache hand x back.
            error = tf.reduce_max(tf.abs(flow.decode(tf.identity(encoded)) - x))
            return in_bits_per_dim(log_prob), error, flow.decode(z)

    arguments = [tf.TensorSpec((batch, *s)) for s in (IMAGE_SHAPE, [math.prod(IMAGE_SHAPE)])]
    return _lowered(evaluate, arguments, variables.trained_values, variables, backend)


@dataclass(frozen=True)
class _Variables:
    """A flow's variables, those that are trained and those that are not."""

    trained: list[keras.Variable]
    fixed: list[keras.Variable]

    @classmethod
    def of(cls, flow: Flow) -> _Variables:
        variables = flow.bijector.keras_variables
        return cls(
            trained=[v for v in variables if v.trainable],
            fixed=[v for v in variables if not v.trainable],
        )

    @property
    def trained_values(self) -> list[np.ndarray]:
        return [v.numpy() for v in self.trained]

    def set_to(self, values: Sequence[tf.Tensor]) -> keras.StatelessScope:
        """A scope in which they have these values; any after those of the variables are left."""
        variables = [*self.trained, *self.fixed]
        return keras.StatelessScope(list(zip(variables, values, strict=False)))


def _lowered(function, arguments: list, state: list, variables: _Variables, backend) -> Program:
    constants = [v.numpy() for v in variables.fixed]
    inputs = [*arguments, *(tf.TensorSpec(v.shape, v.dtype) for v in (*state, *constants))]
    with lower_for(backend):
        hlo = function.experimental_get_compiler_ir(*inputs)(stage="hlo_serialized")
        # Tensors that the flow holds, such as its base's location, follow the arguments.
        captured = function.get_concrete_function(*inputs).captured_inputs
    return Program(hlo, state, [*constants, *(tensor.numpy() for tensor in captured)])


def _stateless_step(flow: Flow, variables: _Variables) -> Callable:
    """The training step with all variables as arguments: trained, Adam's, fixed."""
    count = len(variables.trained)

    @tf.function(jit_compile=True, autograph=False)
    def step(x, rate, *values):
        parameters, means, squares = (list(values[i * count : (i + 1) * count]) for i in range(3))
        time, *constants = values[3 * count :]
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            with variables.set_to([*parameters, *constants]):
                loss = bits_per_dim(flow, x)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, parameters), 1.0)
        updated = [
            adam(*old, time + 1.0, rate)
            for old in zip(parameters, gradients, means, squares, strict=True)
        ]
        return loss, *(value for kind in zip(*updated, strict=True) for value in kind), time + 1.0

    return step


def adam(parameter, gradient, mean, square, time, rate) -> tuple:
    """One update by Adam (arXiv:1412.6980): the new parameter and moments.

    Keras' optimizers cannot be used without their variables on TensorFlow.
    """
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    unbiased_mean, unbiased_square = mean / (1.0 - 0.9**time), square / (1.0 - 0.999**time)
    return parameter - rate * unbiased_mean / (tf.sqrt(unbiased_square) + 1e-7), mean, square
