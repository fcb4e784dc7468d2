"""A classifier of the latents of an image flow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int, check_sizes
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.normalization import LayerNorm

__all__ = ["LevelClassifier"]


@keras.saving.register_keras_serializable("tfp_glow")
class LevelClassifier(ConfiguredLayer):
    """Reads each level of flat latents as an image, and all of them together.

        z = concat(flat(z_1), ..., flat(z_L)),   z_l of shape [h_l, w_l, c_l]
        features_l = mean over places of relu(layer_norm(conv3x3(z_l)))
        output = dense(concat(features_1, ..., features_L))

    Args:
      outputs: Size of the output, the number of classes.
      level_shapes: `(h, w, c)` of each level, in the order in which z holds them.
      hidden_channels: Channels of each level's convolution.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with `[batch, D]`, D the values of all levels. Returns `[batch, outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int or there is no level.

    Example:

        network = LevelClassifier(10, level_shapes=[(4, 4, 2), (2, 2, 8)], seed=0)
        network(tf.zeros([5, 64]))     # [5, 10]

    References:
      Chen, Behrmann, Duvenaud and Jacobsen, "Residual Flows for Invertible Generative Modeling",
      arXiv:1906.02735, section 5, with activation normalization in the place of the layer norm.
    """

    def __init__(
        self,
        outputs: int,
        *,
        level_shapes: Sequence[tuple[int, int, int]],
        hidden_channels: int = 64,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        check_positive_int(outputs, "outputs")
        check_positive_int(hidden_channels, "hidden_channels")
        if not level_shapes:
            raise ValueError(
                f"level_shapes must hold at least one level. Received: {level_shapes}."
            )
        self._shapes = [
            check_sizes(shape, f"level_shapes[{level}]") for level, shape in enumerate(level_shapes)
        ]
        seeds = iter(independent_seeds(seed, len(self._shapes) + 1))
        options = {"dtype": self.dtype_policy}
        self.convolutions, self.norms = [], []
        for shape in self._shapes:
            kernel = keras.initializers.HeNormal(seed=next(seeds))
            convolution = keras.layers.Conv2D(
                hidden_channels,
                3,
                padding="same",
                data_format="channels_last",
                kernel_initializer=kernel,
                **options,
            )
            convolution.build((None, *shape))
            norm = LayerNorm(**options)
            norm.build((None, *shape[:-1], hidden_channels))
            self.convolutions.append(convolution)
            self.norms.append(norm)
        kernel = keras.initializers.GlorotUniform(seed=next(seeds))
        self.last = keras.layers.Dense(outputs, kernel_initializer=kernel, **options)
        self.last.build((None, hidden_channels * len(self._shapes)))
        self.built = True

    def call(self, inputs):
        parts = tf.split(inputs, [math.prod(shape) for shape in self._shapes], axis=-1)
        features = []
        for part, shape, convolution, norm in zip(
            parts, self._shapes, self.convolutions, self.norms, strict=True
        ):
            image = convolution(tf.reshape(part, [-1, *shape]))
            features.append(tf.reduce_mean(tf.nn.relu(norm(image)), [1, 2]))
        return self.last(tf.concat(features, -1))
