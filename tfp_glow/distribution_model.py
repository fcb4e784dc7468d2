"""What the Keras models around one distribution share: all of a training but its loss."""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.passes import condition_kwargs
from tfp_glow.denoising import Noised
from tfp_glow.dequantization import Dequantized
from tfp_glow.fitting import first_batch
from tfp_glow.noisy_data import NoisyData
from tfp_glow.probabilistic_model import ProbabilisticModel
from tfp_glow.replicas import take_from_first_worker
from tfp_glow.signatures import example_specs

__all__ = ["DistributionModel"]

tfd = tfp.distributions


class DistributionModel(ProbabilisticModel):
    """A Keras model that trains a distribution, initialized by the first batch.

    A subclass writes what `ProbabilisticModel` asks for. The noise is that of `Dequantized` and
    `Noised`.

    Args:
      distribution: The distribution.
      seed: Seed of the noise; a random one when None.
      name: Name of the model.
    """

    def __init__(self, distribution: tfd.Distribution, *, seed: int | None, name: str | None):
        super().__init__(distribution, seed=seed, name=name)
        self._distribution = distribution
        self.bits_per_dim = None
        self._add_metrics()

    # What callers use.

    @property
    def distribution(self) -> tfd.Distribution:
        """The distribution that the model trains."""
        return self._distribution

    def initialize(self, x, condition=None, *, force: bool = False) -> None:
        """Sets the data-dependent parameters from a batch; see `Flow.initialize`."""
        initialize = getattr(self._distribution, "initialize", None)
        if initialize is not None:
            condition = self._as_condition(condition)
            initialize(self._as_data(x), condition, force=force, **self._fixed_noise())
            take_from_first_worker(self._distribution.variables, self.distribute_strategy)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        """As `keras.Model.train_on_batch`; the first batch initializes."""
        # The weights of a batch reach the loss without y too.
        self._check_fit(x, y)
        if not self._is_initialized:
            self.initialize(x, self._roles(y)[0])
        return super().train_on_batch(x, y, *args, **kwargs)

    # What `ProbabilisticModel` calls.

    def _before_fit(self, x, y, batch_size):
        if not self._distribution.trainable_variables:
            self._explain_missing_variables()
        if not self._is_initialized:
            first, first_y, x = first_batch(x, y, batch_size or 32)
            self.initialize(first, self._roles(first_y)[0])
        return x

    def _signature(self) -> list:
        x, condition = example_specs(self._distribution)
        return [x if condition is None else (x, condition)]

    # What subclasses call or change.

    def _add_metrics(self) -> None:
        """Creates the metrics that go with the loss."""
        if isinstance(self._distribution, Dequantized):
            self.bits_per_dim = self._counter = keras.metrics.Mean(name="bits_per_dim")
        elif isinstance(self._distribution, Noised):
            self._counter = keras.metrics.Mean(name="nats")

    def _arguments(self, inputs) -> tuple[tf.Tensor, dict]:
        """x and the keyword arguments of its density, from what `call` was called on."""
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        x, condition, seed = (*inputs, None, None)[:3]
        kwargs = condition_kwargs(self._as_condition(condition))
        return self._as_data(x), kwargs | ({} if seed is None else {"seed": seed})

    def _fixed_noise(self) -> dict:
        """The argument that makes the noise of the distribution the same at every call."""
        is_noisy = isinstance(self._distribution, NoisyData)
        return {"seed": self._fixed_seed()} if is_noisy else {}

    def _as_data(self, x):
        """Floats in the distribution's dtype, which Keras would cast to its own."""
        x, dtype = tf.convert_to_tensor(x), self._distribution.dtype
        both_floating = isinstance(dtype, tf.DType) and dtype.is_floating and x.dtype.is_floating
        return tf.cast(x, dtype) if both_floating else x

    def _as_condition(self, y):
        """Class ids as a vector, of which Keras' data sets have a column; others as they are."""
        if y is None or getattr(self._distribution, "condition_shape", None) != ():
            return y
        y = tf.convert_to_tensor(y)
        # A trace that has seen both no longer knows the rank.
        is_column = y.shape.rank is None or (y.shape.rank == 2 and y.shape[1] == 1)
        return tf.reshape(y, [-1]) if is_column else y

    # What is this class's own.

    @property
    def _is_initialized(self) -> bool:
        return getattr(self._distribution, "initialized", True)

    def _explain_missing_variables(self) -> None:
        shape = self._distribution.event_shape
        if shape.is_fully_defined() and self.distribution.dtype.is_floating:
            self(tf.zeros([1, *shape], self._distribution.dtype))  # Names hidden variables.
        raise ValueError(
            f"distribution has no trainable variables. Received: {self._distribution!r}."
        )
