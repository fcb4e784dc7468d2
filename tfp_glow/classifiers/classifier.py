"""A Keras model that checks its labels."""

from __future__ import annotations

import keras

from tfp_glow.fitting import check_labels

__all__ = ["Classifier"]


@keras.saving.register_keras_serializable("tfp_glow")
class Classifier(keras.Model):
    """A functional model from images to logits.

    It differs from `keras.Model` in that `fit` and `evaluate` refuse class ids that are no integers
    or out of range, before TensorFlow answers with NaN or a wrong loss. Labels in data sets, and
    those of losses that take other labels than ids, are not looked at.
    """

    def fit(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.fit`."""
        self._check_labels(x, y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.evaluate`."""
        self._check_labels(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def _check_labels(self, x, y) -> None:
        if isinstance(keras.losses.get(self.loss), keras.losses.SparseCategoricalCrossentropy):
            check_labels(x, y, self.output_shape[-1])
