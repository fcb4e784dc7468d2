"""What all Keras models of distributions share: a training with noise, modes and penalties."""

from __future__ import annotations

import abc
import contextlib
import os
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.bijector import advancing_parts
from tfp_glow.core.checks import check_seed
from tfp_glow.core.compat import View
from tfp_glow.core.freezing import keras_flags
from tfp_glow.core.modes import collected_penalties, evaluation
from tfp_glow.core.penalties import weight_penalties
from tfp_glow.files import replacing
from tfp_glow.fitting import StopWithoutLoss, check_data, check_no_loss
from tfp_glow.replicas import averageable_logs, check_made_in_scope, mean_over_replicas
from tfp_glow.tracking import variables_all_tracked

__all__ = ["ProbabilisticModel"]

tfd = tfp.distributions
# Of the weights' average, over about twenty steps: short trainings have one that is up to date.
_MOMENTUM = 0.95


class ProbabilisticModel(keras.Model, abc.ABC):
    """A Keras model that trains distributions, beside layers of its own.

    It sees to the seeds of noise, the mode of evaluation, penalties and regularizers, to
    what moves on once a step (`FlowBijector.advance`), and ends a training whose loss is NaN. A
    subclass writes

        call(inputs, training)                      what a batch gives
        _example_losses(target, outputs, weights)   the examples' losses, and its metrics' updates
        _in_loss_units(nats)                        nats of the density as the loss counts them
        _roles(y)                                   (condition, target), which of the two y is
        _check_fit(x, y, ...)                       errors in what `fit` and `evaluate` are given
        _signature()                                what `export` serves

    and, where there is noise, assigns to `_counter` a metric that is updated once a batch.

    Args:
      *distributions: The distributions.
      seed: Seed of the noise; a random one when None.
      name: Name of the model.
    """

    def __init__(self, *distributions: tfd.Distribution, seed: int | None, name: str | None):
        # Autocasting would hand half-precision inputs to the distributions.
        super().__init__(name=name, dtype="float32", autocast=False)
        self._distributions = distributions
        seed = check_seed(seed)
        self._seed = np.random.randint(2**31) if seed is None else seed
        # Keras variables over the distributions' own: one storage, seen from both sides.
        own = {id(v): v for distribution in distributions for v in distribution.variables}
        check_made_in_scope(own.values())
        self.views = [View(v) for v in own.values()]
        flags = keras_flags(*distributions)
        for seen in self.views:
            seen.follow(flags.get(id(seen.value), ()))
        self._counter = None
        self.built = True

    # What a subclass writes beside `call`.

    @abc.abstractmethod
    def _example_losses(self, target, outputs, sample_weight) -> tf.Tensor:
        """`[batch]`, not weighed yet, from the target in y and what `call` returned."""

    @abc.abstractmethod
    def _roles(self, y) -> tuple:
        """`(condition, target)`: what y is to the distribution, and what to the loss."""

    @abc.abstractmethod
    def _check_fit(self, x, y, *, sample_weight=None, class_weight=None) -> None:
        """Raises where `fit` or `evaluate` cannot use what it is given."""

    @abc.abstractmethod
    def _in_loss_units(self, nats) -> tf.Tensor:
        """Nats of the density, as the loss counts them."""

    @abc.abstractmethod
    def _signature(self) -> list:
        """What `call` is exported for, in batches of any size."""

    # What callers use.

    def compile(self, optimizer="auto", *args, **kwargs) -> None:
        """As `keras.Model.compile`, with another optimizer when omitted.

        "auto" is Adam with a rate of 1e-3 and Keras' moving average of the weights, which `fit`
        leaves in the model when it ends, as for any optimizer with `use_ema=True`. Losses on the
        way are of the weights that are trained, but with `keras.callbacks.SwapEMAWeights`.

        References:
          Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal
          on Control and Optimization 30, 1992.
        """
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=_MOMENTUM)
        super().compile(optimizer, *args, **kwargs)

    def compile_from_config(self, config: dict) -> None:
        """As Keras does it where `compile` is its own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, batch_size=None, *args, class_weight=None, **kwargs):
        """As `keras.Model.fit`; the class tells what `y` is."""
        check_data(x)
        weights = {"sample_weight": kwargs.get("sample_weight"), "class_weight": class_weight}
        self._check_fit(x, y, **weights)
        x = self._before_fit(x, y, batch_size)
        kwargs["callbacks"] = _with_callback(kwargs.get("callbacks"), StopWithoutLoss())
        history = super().fit(x, y, batch_size, *args, class_weight=class_weight, **kwargs)
        for bijector in advancing_parts(*self._distributions):
            bijector.converge()
        return history

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """As `keras.Model.evaluate`; the class tells what `y` is."""
        check_data(x)
        self._check_fit(x, y, sample_weight=sample_weight)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def save(self, filepath, overwrite: bool = True, **kwargs) -> None:
        """As `keras.Model.save`, in Keras' own format, whole or not at all."""
        if os.path.splitext(filepath)[1] != ".keras":
            raise ValueError(
                "filepath must end in .keras; for weights alone there is save_weights, for a "
                f"SavedModel export. Received: {str(filepath)!r}."
            )
        if os.path.exists(filepath) and not overwrite:
            raise ValueError(f"filepath exists and overwrite is False. Received: {filepath!r}.")
        with replacing(filepath) as temporary:
            super().save(temporary, **kwargs)

    def export(self, filepath, *args, input_signature=None, **kwargs) -> None:
        """As `keras.Model.export`, which serves what `call` gives; `export_saved_model` does more.

        `input_signature` is that of a batch of any size when omitted.
        """
        signature = input_signature or self._signature()
        with evaluation():
            super().export(filepath, *args, input_signature=signature, **kwargs)

    # What Keras calls.

    def make_train_function(self, force: bool = False):
        """As Keras makes it, with an optimizer whose variables exist before the step is traced.

        Inside of a trace each would be created under a condition, and the step traced twice.
        """
        check_no_loss(self.get_compile_config().get("loss"))
        if not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def train_step(self, data):
        logs = super().train_step(self._step_data(data, self._noise_seed(training=True)))
        for bijector in advancing_parts(*self._distributions):
            bijector.advance()
        return averageable_logs(logs, self.distribute_strategy)

    def test_step(self, data):
        with evaluation():
            logs = super().test_step(self._step_data(data, self._noise_seed(training=False)))
        return averageable_logs(logs, self.distribute_strategy)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing, as Keras has it without a strategy: all is built.

        With one it would average a batch of the data over the replicas, which fails for bytes.
        """

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The mean of the examples' losses, and penalties, of which replicas add up their shares.

        Regularizers of the weights of Keras networks count as they do in any Keras model, in
        training and evaluation; metrics are without them.
        """
        losses = self._example_losses(y, y_pred, sample_weight)
        if sample_weight is not None:
            losses *= tf.cast(sample_weight, losses.dtype)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        of_weights = (p for d in self._distributions for p in weight_penalties(d))
        penalties = [*self.losses, *of_weights]
        penalties = [tf.cast(penalty, losses.dtype) for penalty in penalties]
        return tf.add_n([mean_over_replicas(losses), *penalties]) / replicas

    # What subclasses call or change.

    def _before_fit(self, x, y, batch_size):
        """What else is to be done with the data before training; returns them."""
        return x

    @contextlib.contextmanager
    def _density_pass(self, training: bool | None) -> Iterator[None]:
        """Around the density: refuses hidden variables, and in training adds penalties."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(variables_all_tracked(v.value for v in self.variables))
            penalties = stack.enter_context(collected_penalties()) if training else []
            yield
        for penalty in penalties:
            self.add_loss(mean_over_replicas(self._in_loss_units(penalty)))

    def _fixed_seed(self):
        """The seed of the noise outside of `fit` and `evaluate`, None where there is no noise."""
        return None if self._counter is None else tf.constant([self._seed % 2**31, 2])

    # What is this class's own.

    def _step_data(self, data, seed) -> tuple:
        """Inputs, target and weights of a step."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        condition, target = self._roles(y)
        inputs = x if condition is None else (x, condition)
        if seed is not None:
            inputs = (x, condition, seed)
        return inputs, target, sample_weight

    def _noise_seed(self, *, training: bool):
        """A seed that follows from the step alone, None where there is no noise."""
        if self._counter is None:
            return None
        step = self.optimizer.iterations if training else self._counter.count
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = [self._seed % 2**31, int(training)]
        for number in (tf.cast(step, tf.int32), replica):
            seed = tf.random.experimental.stateless_fold_in(seed, number)
        return seed


def _with_callback(callbacks, callback) -> list:
    """The callbacks that `fit` was given, one, several or none, and another."""
    if callbacks is None:
        return [callback]
    given = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    return [*given, callback]
