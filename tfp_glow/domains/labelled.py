"""Training by labels: the likelihood of each side given its classes, and the classes."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_glow.core.validity import valid_or_nan
from tfp_glow.domains.objective import Objective

__all__ = ["Labelled"]


class Labelled(Objective):
    """The sum over both sides of

    -likelihood_weight * log p(x given c) / D - log p(c given x)        in nats.
    """

    takes_labels = True

    def __init__(self, domain_map, likelihood_weight):
        super().__init__(domain_map, likelihood_weight)
        self.accuracies = [
            keras.metrics.SparseCategoricalAccuracy(name=f"accuracy_{side}") for side in "xy"
        ]

    def losses(self, x, y, matched, target, weights):
        given_class, entropies = [], []
        for side, labels, accuracy in zip((x, y), target, self.accuracies, strict=True):
            labels = tf.reshape(labels, [-1])
            logits = self._tie.logits(side.tied)
            accuracy.update_state(labels, logits, weights)
            classes = _one_hot(labels, self._tie.num_classes, logits.dtype)
            given_class.append(side.log_prob + tf.reduce_sum(classes * logits, -1))
            entropies.append(-tf.reduce_sum(classes * tf.nn.log_softmax(logits), -1))
        likelihood = tf.add_n(self._per_dim(*given_class, weights))
        return self._likelihood_weight * likelihood + tf.add_n(entropies)


def _one_hot(labels, num_classes: int, dtype: tf.DType):
    """`[batch, num_classes]`, NaN where a label is out of range."""
    valid = (labels >= 0) & (labels < num_classes)
    classes = tf.one_hot(labels, num_classes, dtype=dtype)
    return valid_or_nan(valid, classes)
