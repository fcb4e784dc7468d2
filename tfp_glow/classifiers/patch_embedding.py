"""Images as tokens."""

from __future__ import annotations

import keras

from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.networks.configured import ConfiguredLayer

__all__ = ["PatchEmbedding"]


@keras.saving.register_keras_serializable("tfp_glow")
class PatchEmbedding(ConfiguredLayer):
    """A linear map of each patch, plus a learned vector for its place.

    Args:
      patch_size: Side of a patch.
      width: Size of a token.
      seed: Seed of the initial weights.
      dtype: dtype of the tokens.
      name: Name of the layer.

    Call with `[batch, H, W, C]`; returns `[batch, (H / patch_size) * (W / patch_size), width]`.

    Raises:
      ValueError: If the patches do not fit the image.

    References:
      Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929.
    """

    def __init__(
        self,
        patch_size: int,
        width: int,
        *,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, name=name)
        self.patch_size = check_positive_int(patch_size, "patch_size")
        self.width = check_positive_int(width, "width")
        self.seeds = independent_seeds(seed, 2)
        self.project = keras.layers.Conv2D(
            width,
            patch_size,
            strides=patch_size,
            data_format="channels_last",
            kernel_initializer=keras.initializers.GlorotUniform(self.seeds[0]),
            dtype=dtype,
        )

    def build(self, input_shape):
        _, height, width, _ = input_shape
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"patch_size must divide the sides of images of {height} x {width}. "
                f"Received: {self.patch_size}."
            )
        self.project.build(input_shape)
        _, tokens, _ = self.compute_output_shape(input_shape)
        initializer = keras.initializers.RandomNormal(stddev=0.02, seed=self.seeds[1])
        self.places = self.add_weight((tokens, self.width), initializer, name="places")

    def call(self, images):
        patches = self.project(images)
        return keras.ops.reshape(patches, (-1, *self.places.shape)) + self.places

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return batch, (height // self.patch_size) * (width // self.patch_size), self.width
