"""A residual network that reads a second image beside its input."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_glow.core.shapes import with_one_batch_dimension
from tfp_glow.core.state import Stateful
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.resnet import ResNet

__all__ = ["ImageReader"]


@keras.saving.register_keras_serializable("tfp_glow")
class ImageReader(ConfiguredLayer, Stateful):
    """A `ResNet` whose input and condition are images of one height and width, side by side.

    Args:
      outputs: Channels of the output.
      hidden_channels: Channels within.
      blocks: Number of residual blocks.
      inputs: `(H, W, C)` of the input; builds the network.
      condition_size: Number of values of the other image, a multiple of H * W.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with the list of `[..., H, W, C]` and the flat image `[..., condition_size]`. Returns
    `[..., H, W, outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int, or `condition_size` is no image's.

    Example:

        network = ImageReader(2, hidden_channels=16, blocks=1, inputs=(8, 8, 1), condition_size=64)
        network([tf.zeros([3, 8, 8, 1]), tf.zeros([3, 64])])     # [3, 8, 8, 2]
    """

    def __init__(
        self,
        outputs: int,
        *,
        hidden_channels: int,
        blocks: int,
        inputs: tuple[int, int, int],
        condition_size: int,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        height, width, channels = inputs
        if condition_size % (height * width):
            raise ValueError(
                f"condition_size must be a multiple of {height * width}, the places of an image of "
                f"shape {tuple(inputs)}. Received: {condition_size}."
            )
        self._image = (height, width, condition_size // (height * width))
        self.network = ResNet(
            outputs,
            hidden_channels=hidden_channels,
            blocks=blocks,
            inputs=(height, width, channels + self._image[-1]),
            seed=seed,
            dtype=self.dtype_policy,
        )
        self.built = True

    def call(self, inputs):
        return self._run(self.network, inputs)

    def initialize(self, inputs):
        """Sets the network's normalization from a batch; returns its output."""
        return self._run(self.network.initialize, inputs)

    @property
    def initialized_flags(self) -> list[keras.Variable]:
        return self.network.initialized_flags

    def _run(self, run, inputs):
        def on_batch(inputs):
            x, flat = inputs
            image = tf.reshape(flat, [-1, *self._image])
            return run(tf.concat([x, tf.cast(image, x.dtype)], -1))

        return with_one_batch_dimension(on_batch, inputs[0], 3, inputs[1])
