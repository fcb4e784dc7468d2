"""A distribution as a Keras model."""

from __future__ import annotations

import contextlib
import functools
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.config import from_config, to_config
from tfp_glow.core.bases import check_one_distribution
from tfp_glow.core.checks import check_choice
from tfp_glow.core.modes import evaluation, passed_fields
from tfp_glow.dequantization import Dequantized
from tfp_glow.distribution_model import DistributionModel
from tfp_glow.fitting import (
    check_class_ids,
    check_data,
    check_examples,
    check_no_class_weight,
    check_weights_reach_the_loss,
)
from tfp_glow.flow_matching import check_matchable, flow_matching_loss, matched_variables

__all__ = ["FlowModel"]

tfd = tfp.distributions
# How the noise of flow matching is paired with data, by the name of the loss.
_PAIRINGS = {"flow_matching": "independent", "ot_flow_matching": "optimal_transport"}


@keras.saving.register_keras_serializable("tfp_glow")
class FlowModel(DistributionModel):
    """Fits a distribution, by maximum likelihood or flow matching, with `compile` and `fit`.

    The loss is the mean of -log p(x), in nats, or of the bits per dimension for `Dequantized`,
    which it also reports as `bits_per_dim`; in training, penalties that the flow asks for, as
    `ContinuousFlow` does, are added. In `fit(x, y)`, `y` is what x is conditioned on.
    `predict` gives log p(x) in nats, of each example. The first batch initializes what is
    set from data, before the first step. `compile` without an optimizer takes Adam, and averages
    the weights. Clip gradients: a batch with a point that the flow finds very unlikely would
    otherwise move it far, and the likelihood falls for a hundred steps.

    A flow with one `ContinuousFlow` can be trained by flow matching instead, which solves no paths.
    The loss is then the mean of `flow_matching_loss`, in squared units of the field's values, which
    `fit` and `evaluate` also report, without regularizers of weights, as `velocity_error`. It is no
    likelihood; `predict`, `log_prob` and `sample` are as by the other loss. What lies around the
    field is set from the first batch and stays as it is.

    Args:
      distribution: A TFP distribution with variables: a `Flow`, `Dequantized`, `Noised`, or any
        other.
      loss: `"likelihood"`, `"flow_matching"`, or `"ot_flow_matching"`, which pairs noise with data
        nearby by optimal transport and is for flows without a condition.
      seed: Seed of the noise of dequantization, `Noised` and flow matching in all of the model's
        methods. It is saved, so that a model that is loaded goes on with the noise it would have
        had; a random one when omitted.
      name: Name of the model.

    Raises:
      TypeError: If `distribution` is no distribution, or, for flow matching, no `Flow` or
        `Dequantized` of one.
      ValueError: If it has no variables to train, or ones that TFP cannot see; if it is to be
        trained and has a batch shape; if `class_weight` is given to `fit`; if flow matching cannot
        train the flow.

    Example:

        model = FlowModel(Dequantized(flows.glow((8, 8, 1), levels=2), num_bins=17))
        model.compile(keras.optimizers.Adamax(1e-3, global_clipnorm=1.0))
        model.fit(digits, batch_size=64, epochs=10)

        model = FlowModel(flows.ffjord(2), loss="flow_matching")
    """

    def __init__(
        self,
        distribution: tfd.Distribution,
        *,
        loss: Literal["likelihood", "flow_matching", "ot_flow_matching"] = "likelihood",
        seed: int | None = None,
        name: str | None = None,
    ):
        if not isinstance(distribution, tfd.Distribution):
            raise TypeError(f"distribution must be a tfd.Distribution. Received: {distribution!r}.")
        # Not `loss`, which is Keras' own name for what is given to compile.
        self._fitted_by = check_choice(loss, (*_PAIRINGS, "likelihood"), "loss")
        if self._matches_flows:
            _check_noise_is_uniform(distribution)
            check_matchable(_continuous(distribution), _PAIRINGS[loss])
        super().__init__(distribution, seed=seed, name=name)
        if self._matches_flows:
            self._pass_over_what_is_not_matched()

    def initialize(self, x, condition=None, *, force: bool = False) -> None:
        """Sets the data-dependent parameters from a batch; see `Flow.initialize`."""
        # No path is solved for what lies on the other side of it.
        with passed_fields() if self._matches_flows else contextlib.nullcontext():
            super().initialize(x, condition, force=force)

    def call(self, inputs, training: bool | None = None):
        """log p(x) in nats; `inputs` is x, x and its condition, or these and the seed of the noise.

        In flow matching the seed asks for the examples' losses, as `fit` and `evaluate` do.
        `training` reaches the layers inside by Keras' own call context.
        """
        x, kwargs = self._arguments(inputs)
        with self._density_pass(training):
            if self._matches_flows and "seed" in kwargs:
                return self._matching_losses(x, **kwargs)
            return self._distribution.log_prob(x, **kwargs)

    def predict(self, x, *args, **kwargs):
        """log p(x) in nats of each example; `x` is data, or the pair of data and conditions.

        Equal calls have equal noise, and so have all batches of a call; `distribution.log_prob`
        draws it anew, or more than once.
        """
        if isinstance(x, np.ndarray) and not len(x):
            return np.zeros([0], "float32")
        check_data(x)
        return super().predict(x, *args, **kwargs)

    def predict_step(self, data):
        inputs, _, _ = self._step_data(data, None)
        x, kwargs = self._arguments(inputs)
        with evaluation(), self._density_pass(training=False):
            return self._distribution.log_prob(x, **kwargs, **self._fixed_noise())

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
        config = {"distribution": to_config(self._distribution), "loss": self._fitted_by}
        return {**config, "seed": self._seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> FlowModel:
        distribution = from_config(config["distribution"])
        loss = config.get("loss", "likelihood")  # Files of 0.1.0 have none.
        return cls(distribution, loss=loss, seed=config.get("seed"), name=config["name"])

    @property
    def _matches_flows(self) -> bool:
        return self._fitted_by in _PAIRINGS

    def _add_metrics(self) -> None:
        if not self._matches_flows:
            super()._add_metrics()
            return
        self.velocity_error = self._counter = keras.metrics.Mean(name="velocity_error")

    def _pass_over_what_is_not_matched(self) -> None:
        """Keeps from the optimizer what gets no gradient, of which it would warn."""
        trained = {id(v) for v in matched_variables(_continuous(self._distribution))}
        for variable in self.views:
            variable.trainable = id(variable.value) in trained

    def _matching_losses(self, x, *, seed, condition=None):
        seed, noise_seed = tfp.random.split_seed(seed, 2)
        if isinstance(self._distribution, Dequantized):
            x = self._distribution.dequantize(x, noise_seed)
        flow, pairing = _continuous(self._distribution), _PAIRINGS[self._fitted_by]
        return flow_matching_loss(flow, x, condition, pairing=pairing, seed=seed)

    def _example_losses(self, target, outputs, sample_weight):
        if self._matches_flows:
            self.velocity_error.update_state(outputs, sample_weight)
            return outputs
        losses = self._in_loss_units(-outputs)
        if self._counter is not None:
            self._counter.update_state(losses, sample_weight)
        return losses

    def _in_loss_units(self, nats):
        return nats if self.bits_per_dim is None else self._distribution.to_bits_per_dim(-nats)

    def _roles(self, y) -> tuple:
        return y, None

    @functools.cached_property
    def _trained(self) -> tfd.Distribution:
        """The distribution, checked once to be one; a model of several side by side saves them."""
        check_one_distribution(self._distribution, "distribution")
        return self._distribution

    def _check_fit(self, x, y, *, sample_weight=None, class_weight=None) -> None:
        check_examples(x, self._trained.event_shape)
        features = getattr(self._distribution, "condition_shape", None)
        if features and y is not None:
            check_examples(y, tf.TensorShape(features), "y")
        check_weights_reach_the_loss(y, sample_weight)
        check_class_ids(y, getattr(self._distribution, "class_ids", None))
        check_no_class_weight(class_weight)


def _continuous(distribution: tfd.Distribution) -> tfd.Distribution:
    return distribution.flow if isinstance(distribution, Dequantized) else distribution


def _check_noise_is_uniform(distribution: tfd.Distribution) -> None:
    if getattr(distribution, "noise", None) is not None:
        raise ValueError(
            "distribution must be Dequantized by uniform noise for flow matching, which trains no "
            f"other. Received: {distribution.noise!r}."
        )
