"""A distribution as a Keras model."""

from __future__ import annotations

import contextlib
import os

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.config import from_config, to_config
from tfp_glow.core.bijector import FlowBijector
from tfp_glow.core.compat import view
from tfp_glow.core.modes import collected_penalties, evaluation
from tfp_glow.core.passes import condition_kwargs
from tfp_glow.core.penalties import weight_penalties
from tfp_glow.dequantization import Dequantized
from tfp_glow.files import replacing
from tfp_glow.fitting import (
    StopWithoutLoss,
    check_class_ids,
    check_data,
    check_weights_reach_the_loss,
    first_batch,
)
from tfp_glow.tracking import variables_all_tracked

__all__ = ["FlowModel"]

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfp_glow")
class FlowModel(keras.Model):
    """Fits a distribution by maximum likelihood with `compile` and `fit`.

    The loss is the mean of -log p(x), in nats, or of the bits per dimension for `Dequantized`,
    which it also reports as `bits_per_dim`; in training, penalties that the flow asks for, as
    `ContinuousFlow` does, are added. In `fit(x, y)`, `y` is what x is conditioned on.
    `predict` gives log p(x) in nats, of each example. The first batch initializes what is
    set from data, before the first step. Clip gradients: a batch with a point that the flow finds
    very unlikely would otherwise move it far, and the likelihood falls for a hundred steps.

    Args:
      distribution: A TFP distribution with variables: a `Flow`, `Dequantized`, or any other.
      seed: Seed of the dequantization noise in `fit` and `evaluate`, which is saved, so that a
        model that is loaded goes on with the noise it would have had; a random one when omitted.
      name: Name of the model.

    Raises:
      TypeError: If `distribution` is no distribution.
      ValueError: If it has no variables to train, or uses variables that TFP cannot see; if
        `class_weight` is given to `fit`.

    Example:

        model = FlowModel(Dequantized(flows.glow((8, 8, 1), levels=2), num_bins=17))
        model.compile(keras.optimizers.Adamax(1e-3, global_clipnorm=1.0))
        model.fit(digits, batch_size=64, epochs=10)
    """

    def __init__(
        self, distribution: tfd.Distribution, *, seed: int | None = None, name: str | None = None
    ):
        if not isinstance(distribution, tfd.Distribution):
            raise TypeError(f"distribution must be a tfd.Distribution. Received: {distribution!r}.")
        # Autocasting would hand half-precision inputs to the distribution.
        super().__init__(name=name, dtype="float32", autocast=False)
        self._distribution = distribution
        self._seed = np.random.randint(2**31) if seed is None else seed
        # Keras variables over the distribution's own: one storage, seen from both sides.
        self.views = [view(v) for v in distribution.variables]
        self.bits_per_dim = None
        if isinstance(distribution, Dequantized):
            self.bits_per_dim = keras.metrics.Mean(name="bits_per_dim")
        self.built = True

    @property
    def distribution(self) -> tfd.Distribution:
        """The distribution that the model trains."""
        return self._distribution

    def call(self, inputs, training: bool | None = None):
        """log p(x) in nats; `inputs` is x, x and its condition, or these and the seed of the noise.

        `training` reaches the layers inside by Keras' own call context.
        """
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        x, condition, seed = (*inputs, None, None)[:3]
        x = self._as_data(x)
        kwargs = condition_kwargs(condition) | ({} if seed is None else {"seed": seed})
        with contextlib.ExitStack() as stack:
            stack.enter_context(variables_all_tracked(self._distribution))
            penalties = stack.enter_context(collected_penalties()) if training else []
            log_prob = self._distribution.log_prob(x, **kwargs)
        for penalty in penalties:
            self.add_loss(tf.reduce_mean(self._in_loss_units(penalty)))
        return log_prob

    def initialize(self, x, condition=None, *, force: bool = False) -> None:
        """Sets the data-dependent parameters from a batch; see `Flow.initialize`."""
        initialize = getattr(self._distribution, "initialize", None)
        if initialize is not None:
            initialize(self._as_data(x), condition, force=force)

    def fit(self, x=None, y=None, batch_size=None, *args, class_weight=None, **kwargs):
        """As `keras.Model.fit`; `y` is the condition."""
        check_data(x)
        check_weights_reach_the_loss(y, kwargs.get("sample_weight"))
        check_class_ids(y, self._num_classes)
        if class_weight is not None:
            raise ValueError(
                "class_weight has no meaning for a density model. Pass sample_weight to weigh "
                f"examples. Received: class_weight={class_weight!r}."
            )
        if not self._distribution.trainable_variables:
            self._explain_missing_variables()
        if not getattr(self._distribution, "initialized", True):
            first, condition, x = first_batch(x, y, batch_size or 32)
            self.initialize(first, condition)
        kwargs["callbacks"] = _with_callback(kwargs.get("callbacks"), StopWithoutLoss())
        history = super().fit(x, y, batch_size, *args, **kwargs)
        for bijector in self._advancing():
            bijector.converge()
        return history

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """As `keras.Model.evaluate`; `y` is the condition."""
        check_data(x)
        check_weights_reach_the_loss(y, sample_weight)
        check_class_ids(y, self._num_classes)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def predict(self, x, *args, **kwargs):
        """log p(x) in nats of each example; `x` is data, or the pair of data and conditions."""
        if isinstance(x, np.ndarray) and not len(x):
            return np.zeros([0], "float32")
        check_data(x)
        return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        """As `keras.Model.train_on_batch`; the first batch initializes."""
        check_class_ids(y, self._num_classes)
        if not getattr(self._distribution, "initialized", True):
            self.initialize(x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def make_train_function(self, force: bool = False):
        """As Keras makes it, with an optimizer whose variables exist before the step is traced.

        Inside of a trace each would be created under a condition, and the step traced twice.
        """
        if not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def train_step(self, data):
        logs = super().train_step(self._with_noise(data, training=True))
        for bijector in self._advancing():
            bijector.advance()
        return logs

    def test_step(self, data):
        with evaluation():
            return super().test_step(self._with_noise(data, training=False))

    def predict_step(self, data):
        with evaluation():
            return super().predict_step(_condition_as_input(data))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The mean negative log-likelihood and penalties, divided by the number of replicas.

        Regularizers of the weights of Keras networks count as they do in any Keras model, in
        training and evaluation; `bits_per_dim` is the likelihood alone.
        """
        loss = self._in_loss_units(-y_pred)
        if self.bits_per_dim is not None:
            self.bits_per_dim.update_state(loss, sample_weight)
        if sample_weight is not None:
            loss *= tf.cast(sample_weight, loss.dtype)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        penalties = [*self.losses, *weight_penalties(self._distribution)]
        penalties = [tf.cast(penalty, loss.dtype) for penalty in penalties]
        return tf.add_n([tf.reduce_mean(loss), *penalties]) / replicas

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics' results; those of `compile` would compare with targets."""
        try:
            return super().compute_metrics(x, y, y_pred, sample_weight)
        except ValueError as error:
            raise ValueError(
                "metrics compare predictions with targets, of which a density model has none; the "
                "loss, and bits_per_dim for Dequantized, are reported without them."
            ) from error

    def save(self, filepath, overwrite: bool = True, **kwargs) -> None:
        """As `keras.Model.save`; the file is written whole or not at all."""
        if os.path.exists(filepath) and not overwrite:
            raise ValueError(f"filepath exists and overwrite is False. Received: {filepath!r}.")
        with replacing(filepath) as temporary:
            super().save(temporary, **kwargs)

    def get_config(self) -> dict:
        config = {"distribution": to_config(self._distribution)}
        return {**config, "seed": self._seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> FlowModel:
        distribution = from_config(config["distribution"])
        return cls(distribution, seed=config.get("seed"), name=config["name"])

    def _with_noise(self, data, *, training: bool):
        """Inputs of a step and, where there is noise, a seed that follows from the step alone."""
        inputs, _, sample_weight = _condition_as_input(data)
        if self.bits_per_dim is not None:
            step = self.optimizer.iterations if training else self.bits_per_dim.count
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            seed = [self._seed % 2**31, int(training)]
            for number in (tf.cast(step, tf.int32), replica):
                seed = tf.random.experimental.stateless_fold_in(seed, number)
            inputs = (*inputs, seed) if isinstance(inputs, tuple) else (inputs, None, seed)
        return inputs, None, sample_weight

    @property
    def _num_classes(self) -> int | None:
        return getattr(self._distribution, "num_classes", None)

    def _as_data(self, x):
        """Floats in the distribution's dtype, which Keras would cast to its own."""
        x, dtype = tf.convert_to_tensor(x), self._distribution.dtype
        both_floating = isinstance(dtype, tf.DType) and dtype.is_floating and x.dtype.is_floating
        return tf.cast(x, dtype) if both_floating else x

    def _in_loss_units(self, nats):
        """Nats as bits per dimension, where that is what the loss is in."""
        return nats if self.bits_per_dim is None else self._distribution.to_bits_per_dim(-nats)

    def _advancing(self) -> list[FlowBijector]:
        """The outermost bijectors that change once a training step."""
        found = [b for b in self._distribution.submodules if isinstance(b, FlowBijector)]
        inner = {id(part) for bijector in found for part in bijector.submodules}
        return [b for b in found if b.advances and id(b) not in inner]

    def _explain_missing_variables(self) -> None:
        shape = self._distribution.event_shape
        if shape.is_fully_defined() and self.distribution.dtype.is_floating:
            self(tf.zeros([1, *shape], self._distribution.dtype))  # Names hidden variables.
        raise ValueError(
            f"distribution has no trainable variables. Received: {self._distribution!r}."
        )


def _condition_as_input(data):
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    return (x if y is None else (x, y)), None, sample_weight


def _with_callback(callbacks, callback) -> list:
    """The callbacks that `fit` was given, one, several or none, and another."""
    if callbacks is None:
        return [callback]
    given = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    return [*given, callback]
