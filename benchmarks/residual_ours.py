"""This package's residual flow, as `benchmarks.residual` trains it."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import tensorflow as tf

from benchmarks.residual import Budget, Task, conv_norm, dense_norm
from tfp_glow import Dequantized, Flow, FlowModel, flows
from tfp_glow.app.generation import mean_bits_per_dim
from tfp_glow.bijectors import Repeat
from tfp_glow.solvers.fixed_point import solve_fixed_point

__all__ = ["train"]


def train(task: Task, budget: Budget, path: pathlib.Path) -> dict:
    """Trains for the budget, saves, and measures.

    Returns:
      bits per dimension or nats of the test data, and what else there is to tell.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)
    flow = build(task)
    distribution = Dequantized(flow, 256) if task.name == "mnist" else flow
    model = FlowModel(distribution)
    model.compile(keras.optimizers.Adam(0.0, global_clipnorm=1.0), jit_compile=False)
    batches = tf.data.Dataset.from_generator(
        lambda: (_event(task, batch) for batch in task.batches()),
        output_signature=tf.TensorSpec(
            [task.batch, *_event(task, task.train[:1]).shape[1:]], task.train.dtype
        ),
    )
    distribution.initialize(_event(task, next(task.batches())))
    pace = _Pace(budget, task.learning_rate, path.with_suffix(".keras"))
    model.fit(batches, epochs=10**6, steps_per_epoch=500, callbacks=[pace], verbose=2)
    model.save(path.with_suffix(".keras"))
    return {
        "test": _test(task, model),
        "steps": int(model.optimizer.iterations),
        "parameters": sum(int(tf.size(v)) for v in flow.trainable_variables),
        "largest_norm_over_bound": max(norms(flow)) / task.coefficient,
        **inversion(flow, _event(task, task.test[:64]), distribution),
    }


def build(task: Task) -> Flow:
    """The untrained flow."""
    common = {"steps": task.steps, "coefficient": task.coefficient, "seed": 0}
    if task.name == "mnist":
        return flows.residual_flow(
            (28, 28, 1),
            hidden_channels=task.hidden,
            distribution="poisson",
            alpha=1e-6,
            **common,
        )
    return flows.residual_flow(2, hidden_units=(task.hidden, task.hidden), exact=True, **common)


def repeats(flow: Flow) -> list[Repeat]:
    """The loops over residual blocks, the one nearest to the data first."""
    return [b for b in flow.bijector.submodules if isinstance(b, Repeat)]


def norms(flow: Flow) -> list[float]:
    """The spectral norm of every layer of every block as it is called, from its whole matrix."""
    found = []
    for repeat in repeats(flow):
        for index in range(repeat.depth):
            with repeat.step_at(index) as step:
                for layer in step.bijectors[1].network.linear:
                    found.append(_norm(layer))
    return found


def _norm(layer) -> float:
    scale = min(1.0, layer.coefficient / float(layer.norm()))
    kernel = scale * np.asarray(tf.convert_to_tensor(layer.kernel))
    if kernel.ndim == 2:
        return dense_norm(kernel)
    return conv_norm(kernel, layer.direction.shape[1:3])


def inversion(flow: Flow, x, distribution) -> dict:
    """Largest error of decode(encode(x)) in the two precisions, and the iterations it took."""
    if isinstance(distribution, Dequantized):
        x = distribution.dequantize(x, seed=0)
    recipe = flow.recipe
    double = flows.RECIPES[recipe["name"]](**{**recipe["arguments"], "dtype": "float64"})
    for ours, theirs in zip(double.variables, flow.variables, strict=True):
        ours.assign(tf.cast(theirs, ours.dtype))
    double.bijector.converge()
    return {
        "inversion_float32": _inversion_error(flow, x),
        "inversion_float64": _inversion_error(double, tf.cast(x, tf.float64)),
        "iterations_float32": iterations(flow, x, 1e-6),
        "iterations_float64": iterations(double, tf.cast(x, tf.float64), 1e-11),
    }


def _inversion_error(flow: Flow, x) -> float:
    z = tf.identity(flow.encode(x))
    return float(tf.reduce_max(tf.abs(flow.decode(z) - x)))


def iterations(flow: Flow, x, tolerance: float) -> int:
    """The most evaluations that the inverse of a block of the first loop takes."""
    first, counts = repeats(flow)[0], []
    with first.step_at(0) as step:
        shape = step.bijectors[1].network.linear[0].direction.shape[1:]
    h = normal_like(x, shape)
    for index in range(first.depth):
        with first.step_at(index) as step:
            block, calls = step.bijectors[1], []

            def counted(value, network=block.network, calls=calls):
                calls.append(1)
                return network(value)

            options = {"tolerance": tolerance, "max_iterations": 500, "name": block.name}
            solve_fixed_point(counted, block.inverse(h), **options)
            counts.append(len(calls))
    return max(counts)


def normal_like(x, shape) -> tf.Tensor:
    """Standard normal values, one event for each of x, as blocks see them behind ActNorm."""
    return tf.random.stateless_normal([x.shape[0], *shape], [0, 1], dtype=x.dtype)


def _test(task: Task, model: FlowModel) -> float:
    if task.name == "mnist":
        return mean_bits_per_dim(model.distribution, _batched(_event(task, task.test)))
    return -model.evaluate(task.test, batch_size=1000, verbose=0)


def _batched(images) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(images).batch(200)


def _event(task: Task, batch: np.ndarray) -> np.ndarray:
    return batch[..., np.newaxis] if task.name == "mnist" else batch


class _Pace(keras.callbacks.Callback):
    """Sets the learning rate by the time spent, saves now and then, and stops in time."""

    def __init__(self, budget: Budget, learning_rate: float, path: pathlib.Path):
        super().__init__()
        self._budget, self._highest, self._path = budget, learning_rate, path

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self._budget.learning_rate(self._highest)

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = self._budget.share >= 1.0

    def on_epoch_end(self, epoch, logs=None):
        self.model.save(self._path)
