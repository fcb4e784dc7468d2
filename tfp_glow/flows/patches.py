"""Images as sequences of patches, for flows of transformers."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow_probability as tfp

from tfp_glow.bijectors import ActNorm, Chain, FlowBijector, Squeeze
from tfp_glow.flows.ingredients import check_image, marginals

__all__ = ["on_patches", "patch_grid"]

tfb = tfp.bijectors
# Below this share of the whole image's deviation, values are not taken to be constant.
_FLOOR = 0.03


def patch_grid(image_shape: Sequence[int], patch_size: int) -> tuple[int, int, int]:
    """Rows and columns of an image's patches, and the values of one."""
    check_image(image_shape, levels=0, halvings=0, argument="image_shape")
    height, width, channels = image_shape
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"patch_size must divide the sides of image_shape={tuple(image_shape)}. "
            f"Received: {patch_size}."
        )
    return height // patch_size, width // patch_size, channels * patch_size**2


def on_patches(
    bijector: FlowBijector,
    image_shape: Sequence[int],
    patch_size: int,
    *,
    marginal_bins: int | None,
    dtype: str,
) -> Chain:
    """A bijector on `[tokens, channels]` as one between flat latents and images.

    The marginals of its channels become normal first; see `MarginalGaussianization`. Every value of
    the image starts with a deviation of 1, from the first batch. Values of less than a share of the
    whole image's deviation start with less: one that varies later, such as a border's, stays within
    some tens of deviations. Before there were marginals, Jet was 0.55 bits per dimension behind
    without that on MNIST after two minutes.
    """
    rows, columns, channels = patch_grid(image_shape, patch_size)
    tokens, size = [rows * columns, channels], rows * columns * channels
    return Chain(
        [
            *marginals(image_shape[-1], marginal_bins, dtype=dtype),
            Squeeze(patch_size),
            tfb.Reshape([rows, columns, channels], [size]),
            ActNorm(size, floor=_FLOOR, dtype=dtype),
            tfb.Reshape([size], tokens),
            bijector,
            tfb.Reshape(tokens, [size]),
        ]
    )
