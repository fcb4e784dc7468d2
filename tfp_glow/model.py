"""A distribution as a Keras model."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow_probability as tfp

from tfp_glow.config import from_config, to_config
from tfp_glow.distribution_model import DistributionModel
from tfp_glow.fitting import (
    check_class_ids,
    check_data,
    check_no_class_weight,
    check_weights_reach_the_loss,
)

__all__ = ["FlowModel"]

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfp_glow")
class FlowModel(DistributionModel):
    """Fits a distribution by maximum likelihood with `compile` and `fit`.

    The loss is the mean of -log p(x), in nats, or of the bits per dimension for `Dequantized`,
    which it also reports as `bits_per_dim`; in training, penalties that the flow asks for, as
    `ContinuousFlow` does, are added. In `fit(x, y)`, `y` is what x is conditioned on.
    `predict` gives log p(x) in nats, of each example. The first batch initializes what is
    set from data, before the first step. Clip gradients: a batch with a point that the flow finds
    very unlikely would otherwise move it far, and the likelihood falls for a hundred steps.

    Args:
      distribution: A TFP distribution with variables: a `Flow`, `Dequantized`, `Noised`, or any
        other.
      seed: Seed of the noise of `Dequantized` and `Noised` in `fit` and `evaluate`, which is saved,
        so that a model that is loaded goes on with the noise it would have had; a random one
        when omitted.
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
        super().__init__(distribution, seed=seed, name=name)

    def call(self, inputs, training: bool | None = None):
        """log p(x) in nats; `inputs` is x, x and its condition, or these and the seed of the noise.

        `training` reaches the layers inside by Keras' own call context.
        """
        x, kwargs = self._arguments(inputs)
        with self._density_pass(training):
            return self._distribution.log_prob(x, **kwargs)

    def predict(self, x, *args, **kwargs):
        """log p(x) in nats of each example; `x` is data, or the pair of data and conditions."""
        if isinstance(x, np.ndarray) and not len(x):
            return np.zeros([0], "float32")
        check_data(x)
        return super().predict(x, *args, **kwargs)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics' results; those of `compile` would compare with targets."""
        try:
            return super().compute_metrics(x, y, y_pred, sample_weight)
        except ValueError as error:
            raise ValueError(
                "metrics compare predictions with targets, of which a density model has none; the "
                "loss, and bits_per_dim for Dequantized, are reported without them."
            ) from error

    def get_config(self) -> dict:
        config = {"distribution": to_config(self._distribution)}
        return {**config, "seed": self._seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> FlowModel:
        distribution = from_config(config["distribution"])
        return cls(distribution, seed=config.get("seed"), name=config["name"])

    def _example_losses(self, target, outputs, sample_weight):
        losses = self._in_loss_units(-outputs)
        if self._counter is not None:
            self._counter.update_state(losses, sample_weight)
        return losses

    def _in_loss_units(self, nats):
        return nats if self.bits_per_dim is None else self._distribution.to_bits_per_dim(-nats)

    def _roles(self, y) -> tuple:
        return y, None

    def _check_fit(self, x, y, *, sample_weight=None, class_weight=None) -> None:
        check_weights_reach_the_loss(y, sample_weight)
        check_class_ids(y, getattr(self._distribution, "class_ids", None))
        check_no_class_weight(class_weight)
