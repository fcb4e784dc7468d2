"""What a classifier of integer images is made of, and what a trained one does."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.layers import Standardize

__all__ = ["count_confusions", "is_classifier", "of_integers", "reconstruct", "statistics"]


def of_integers(network: keras.Model, mean, deviation, num_bins: int) -> keras.Sequential:
    """A classifier of integer images around one of images of mean 0 and deviation 1.

    Args:
      network: A model from floats `[batch, H, W, C]` to logits.
      mean: Mean of each channel.
      deviation: Standard deviation of each channel.
      num_bins: Number of integer values.

    Example:

        classifier = of_integers(classifiers.revnet((8, 8, 1), 10), [4.9], [6.0], num_bins=17)
    """
    images = keras.Input(network.input_shape[1:], dtype="int32", name="images")
    return keras.Sequential([images, Standardize(mean, deviation, num_bins), network])


def is_classifier(model: keras.Model) -> bool:
    """Whether a model is one that `of_integers` makes."""
    if not isinstance(model, keras.Sequential) or len(model.layers) != 2:
        return False
    return isinstance(model.layers[0], Standardize) and len(model.output_shape) == 2


def statistics(batches: tf.data.Dataset) -> tuple[list[float], list[float]]:
    """The mean and the standard deviation of each channel, 1 where a channel is constant.

    Args:
      batches: Batches of pairs of images `[batch, H, W, C]` and labels.
    """
    count, total, squares = 0, 0.0, 0.0
    for images, _ in batches.as_numpy_iterator():
        pixels = images.reshape(-1, images.shape[-1]).astype(np.float64)
        count += len(pixels)
        total, squares = total + pixels.sum(0), squares + (pixels**2).sum(0)
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    return mean.tolist(), np.where(variance > 0, np.sqrt(variance), 1.0).tolist()


def count_confusions(model: keras.Model, batches: tf.data.Dataset) -> np.ndarray:
    """How many images of each class, a row, the model takes for each class, a column.

    Args:
      model: A classifier with logits.
      batches: Batches of pairs of images and labels.

    Returns:
      Integers `[classes, classes]`.

    Example:

        counts = count_confusions(model, load_images("digits", labels=True).test)
        accuracy = counts.trace() / counts.sum()
    """
    classes = model.output_shape[-1]

    @tf.function(reduce_retracing=True)
    def count(images, labels):
        found = tf.argmax(model(images, training=False), -1)
        return tf.math.confusion_matrix(labels, found, classes)

    return sum(count(images, labels).numpy() for images, labels in batches)


def reconstruct(model: keras.Sequential, images) -> np.ndarray:
    """Images computed back from the features of an i-RevNet, before its last projection.

    Args:
      model: What `of_integers` makes of an `irevnet`.
      images: Integers `[N, H, W, C]`.

    Returns:
      As many images.
    """
    standardize, network = model.layers

    @tf.function(autograph=False)
    def there_and_back(x):
        features = network.features(standardize(x))
        # Through identity, or a bijector's memory would hand the inputs back.
        return standardize.invert(network.invert(tf.identity(features)))

    return there_and_back(images).numpy()
