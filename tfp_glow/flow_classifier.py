"""A flow that classifies: density, samples and class probabilities of one model."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.config import from_config, to_config
from tfp_glow.core.bases import check_one_distribution
from tfp_glow.core.checks import check_number, check_positive_int
from tfp_glow.core.modes import evaluation
from tfp_glow.core.validity import valid_or_nan
from tfp_glow.dequantization import Dequantized
from tfp_glow.distribution_model import DistributionModel
from tfp_glow.fitting import check_data, check_examples, check_label_shape, check_labels
from tfp_glow.flow import Flow
from tfp_glow.networks import MLP, LevelClassifier

__all__ = ["FlowClassifier"]


@keras.saving.register_keras_serializable("tfp_glow")
class FlowClassifier(DistributionModel):
    """Fits p(x) and p(y given x) at once: a classifier that reads the latents of a flow.

    With z = flow.encode(x), one pass of the flow gives z and log p(x), and `fit(x, y)` minimizes

        -mean(likelihood_weight * log p(x) + log p(y given z)),   p(y given z) = softmax(head(z))

    in nats. For `Dequantized`, z are the latents of the dequantized x and log p(x) is the bound of
    its log-probability. A weight of 1 is the likelihood of (x, y); as log p(x) grows with the D
    values of x and log p(y given z) does not, 1 / D, the nats per dimension, weighs the two alike;
    0 leaves a classifier. Penalties of the flow's training have the weight of log p(x).

    | | gives |
    | --- | --- |
    | `fit`, `evaluate` | loss, `accuracy`, and `bits_per_dim` for `Dequantized`, else `nats` |
    | `predict(x)` | class probabilities `[N, num_classes]` |
    | `model(x)` | logits `[N, num_classes]` and log p(x) `[N]` |
    | `log_prob(x)` | log p(x) `[N]` in nats |
    | `distribution.sample(n)` | samples, with a seed and a temperature as of any flow |

    The first batch initializes what is set from data, before the first step. The flow's estimators
    and Lipschitz networks move on and are evaluated as in a `FlowModel`.

    Args:
      flow: A `Flow` over real x, or `Dequantized` of one over integers; without a condition.
      num_classes: Number of classes, at least 2; y holds ids from 0 to num_classes - 1, `[N]`.
      likelihood_weight: What log p(x), in nats, is multiplied by, from 0 on; 1 / D when omitted.
      head: A Keras layer or model, built or not, from flat latents `[N, D]` to logits
        `[N, num_classes]`. When omitted, a `LevelClassifier` of the levels of an image flow, or an
        `MLP` with one hidden layer.
      seed: Seed of the dequantization noise in `fit` and `evaluate`, which is saved, and of the
        weights of a head that is omitted; a random one when omitted.
      name: Name of the model.

    Raises:
      TypeError: If `flow` is no `Flow` or `Dequantized` of one, or `head` no Keras layer; if labels
        are no integers.
      ValueError: If the flow takes a condition or has no variables to train, an argument is out of
        range or `head` gives another shape; if labels are missing or out of range. In data sets,
        which are not read in advance, a label out of range makes the loss NaN, and `fit` raises.

    Example:

        flow = flows.glow((8, 8, 1), levels=2)
        model = FlowClassifier(Dequantized(flow, num_bins=17), 10)
        model.compile(keras.optimizers.Adamax(1e-3))
        model.fit(digits, labels, batch_size=64, epochs=10)
        probabilities, log_prob = model.predict(digits), model.log_prob(digits)
        model.distribution.sample(16, temperature=0.7, seed=1)

    References:
      Chen, Behrmann, Duvenaud and Jacobsen, "Residual Flows for Invertible Generative Modeling",
      arXiv:1906.02735, section 5; its lambda is `likelihood_weight`, of log p(x) in nats as here.
      Nalisnick, Matsukawa, Teh, Gorur and Lakshminarayanan, "Hybrid Models with Deep and
      Invertible Features", arXiv:1902.02767.
    """

    def __init__(
        self,
        flow: Flow | Dequantized,
        num_classes: int,
        *,
        likelihood_weight: float | None = None,
        head: keras.layers.Layer | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        _check_flow(flow)
        check_positive_int(num_classes, "num_classes", least=2)
        if likelihood_weight is None:
            likelihood_weight = 1.0 / flow.event_shape.num_elements()
        check_number(likelihood_weight, "likelihood_weight", least=0)
        super().__init__(flow, seed=seed, name=name)
        self._num_classes = int(num_classes)
        self._likelihood_weight = float(likelihood_weight)
        self._latent_size = math.prod(_continuous(flow).distribution.event_shape)
        if head is None:
            head = _default_head(_continuous(flow), num_classes, self._seed)
        self.head = head
        self._check_head()
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.nats = None if self.bits_per_dim is not None else keras.metrics.Mean(name="nats")

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self._num_classes

    @property
    def likelihood_weight(self) -> float:
        """What log p(x), in nats, is multiplied by in the loss."""
        return self._likelihood_weight

    def call(self, inputs, training: bool | None = None):
        """`(logits, log p(x))`; `inputs` is x, or the triple of x, None and the seed of the noise.

        `training` reaches the layers inside by Keras' own call context.
        """
        x, kwargs = self._arguments(inputs)
        with self._density_pass(training):
            z, log_prob = self._distribution.encode_and_log_prob(x, **kwargs)
        return self.head(tf.reshape(z, [-1, self._latent_size])), log_prob

    def log_prob(self, x):
        """log p(x) `[N]` in nats, with the noise of `predict`, all of x at once.

        `FlowModel(model.distribution).predict(x)` goes through large data in batches.
        """
        x, kwargs = self._arguments((x, None, self._fixed_seed()))
        with evaluation():
            return self._distribution.log_prob(x, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Class probabilities `[N, num_classes]`; equal calls have equal dequantization noise."""
        if isinstance(x, np.ndarray) and not len(x):
            return np.zeros([0, self._num_classes], "float32")
        check_data(x)
        return super().predict(x, *args, **kwargs)

    def predict_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with evaluation():
            logits, _ = self((x, None, self._fixed_seed()), training=False)
        return tf.nn.softmax(logits)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics' results; those of `compile` compare labels with class probabilities."""
        probabilities = tf.nn.softmax(y_pred[0])
        return super().compute_metrics(x, _label_ids(y), probabilities, sample_weight)

    def get_config(self) -> dict:
        return {
            "flow": to_config(self._distribution, "flow"),
            "num_classes": self._num_classes,
            "likelihood_weight": self._likelihood_weight,
            "head": to_config(self.head, "head"),
            "seed": self._seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> FlowClassifier:
        parts = {part: from_config(config[part]) for part in ("flow", "head")}
        return cls(**{**config, **parts})

    def _example_losses(self, target, outputs, sample_weight):
        labels, (logits, log_prob) = _label_ids(target), outputs
        self.accuracy.update_state(labels, logits, sample_weight)
        if self.bits_per_dim is None:
            self.nats.update_state(-log_prob, sample_weight)
        else:
            bits = self._distribution.to_bits_per_dim(log_prob)
            self.bits_per_dim.update_state(bits, sample_weight)
        losses = _cross_entropy(labels, tf.cast(logits, log_prob.dtype))
        # A product with 0 would not be rid of densities that are not finite.
        return losses + self._in_loss_units(-log_prob) if self._likelihood_weight else losses

    def _in_loss_units(self, nats):
        return self._likelihood_weight * nats

    def _roles(self, y) -> tuple:
        return None, y

    def _check_fit(self, x, y, *, sample_weight=None, class_weight=None) -> None:
        check_examples(x, self._distribution.event_shape)
        check_labels(x, y, self._num_classes)

    def _check_head(self) -> None:
        """Builds the head, and raises where it does not give logits."""
        if not isinstance(self.head, keras.layers.Layer):
            raise TypeError(f"head must be a Keras layer or model. Received: {self.head!r}.")
        shape = tuple(self.head(tf.zeros([1, self._latent_size])).shape)
        if shape != (1, self._num_classes):
            raise ValueError(
                f"head must give logits [N, {self._num_classes}] of flat latents "
                f"[N, {self._latent_size}]. Received: {self.head.name!r}, which gives shape "
                f"{shape} of one example."
            )


def _check_flow(flow) -> None:
    if not isinstance(_continuous(flow), Flow):
        raise TypeError(
            "flow must be a Flow, or Dequantized of one; of a bijector it is "
            f"Flow(standard_normal(size), bijector). Received: {flow!r}."
        )
    if flow.condition_shape is not None:
        raise ValueError(
            "flow must take no condition, since y is what the model predicts; build it without "
            "num_classes and condition_size. "
            f"Received: a flow with a condition of shape {flow.condition_shape}."
        )
    check_one_distribution(flow, "flow")


def _continuous(flow):
    return flow.flow if isinstance(flow, Dequantized) else flow


def _default_head(flow: Flow, num_classes: int, seed: int) -> keras.layers.Layer:
    latents = tuple(flow.distribution.event_shape)
    levels = getattr(flow.bijector, "level_shapes", [latents] if len(latents) == 3 else None)
    if levels is not None:
        return LevelClassifier(num_classes, level_shapes=levels, seed=seed)
    return MLP(num_classes, hidden_units=(256,), inputs=(math.prod(latents),), seed=seed)


def _label_ids(y):
    """Labels as `[batch]`, int64; raises where they can be seen to be none."""
    if y is None:
        raise ValueError("y must hold the class id of each example, as in (x, y). Received: None.")
    y = tf.convert_to_tensor(y)
    check_label_shape(y.shape, y.dtype)
    return tf.cast(tf.reshape(y, [-1]), tf.int64)


def _cross_entropy(labels, logits):
    """-log p(y given z), NaN where a label is out of range, on every device."""
    num_classes = logits.shape[-1]
    valid = (labels >= 0) & (labels < num_classes)
    ids = tf.where(valid, labels, tf.zeros_like(labels))
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
    return valid_or_nan(valid, entropy)
