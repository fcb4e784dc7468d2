"""A vision transformer on whole images as a coupling network."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_glow.core.checks import check_sizes
from tfp_glow.core.shapes import split_condition
from tfp_glow.networks.configured import ConfiguredLayer
from tfp_glow.networks.vit import ViT

__all__ = ["ImageViT"]


@keras.saving.register_keras_serializable("tfp_glow")
class ImageViT(ConfiguredLayer):
    """A `ViT` whose tokens are the positions of an image.

    A coupling of Glow sees images whose squeezes have made channels of patches already, so that a
    position is a patch of the data. Attention costs the square of H * W.

    Args:
      outputs: Channels of the output.
      inputs: `(H, W, C)` of the input.
      width: Size of a token inside.
      layers: Number of layers.
      heads: Heads of attention, a divisor of `width`.
      condition_size: Size of a condition vector, which is added to all tokens, or None.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy.
      name: Name of the layer.

    Call with `[..., H, W, C]`, or with the list of that and a condition `[..., condition_size]`.
    Returns `[..., H, W, outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int, or `heads` does not divide `width`.

    Example:

        network = ImageViT(12, inputs=(8, 8, 6), width=64, layers=2, heads=4, seed=0)
        network(tf.zeros([8, 8, 8, 6]))     # [8, 8, 8, 12]

    References:
      Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929.
    """

    def __init__(
        self,
        outputs: int,
        *,
        inputs: tuple[int, int, int],
        width: int,
        layers: int = 2,
        heads: int = 4,
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        rows, columns, channels = check_sizes(inputs, "inputs")
        self.positions = (rows, columns)
        self.transformer = ViT(
            outputs,
            inputs=(rows * columns, channels),
            width=width,
            layers=layers,
            heads=heads,
            condition_size=condition_size,
            seed=seed,
            dtype=self.dtype_policy,
        )
        self.built = True

    def call(self, inputs):
        x, condition = split_condition(inputs)
        tokens = self._reshaped(x, 3, [self.transformer.tokens, x.shape[-1]])
        outputs = self.transformer(tokens if condition is None else [tokens, condition])
        return self._reshaped(outputs, 2, [*self.positions, outputs.shape[-1]])

    @staticmethod
    def _reshaped(value, ndims: int, shape: list[int]):
        """A value whose last dimensions are others."""
        return tf.reshape(value, tf.concat([tf.shape(value)[:-ndims], shape], 0))
