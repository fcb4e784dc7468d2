"""Images as the bytes of a file, decoded eagerly, with errors that tell where they are."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["decode", "like_the_first", "unreadable"]


def decode(content: bytes, where: str) -> tf.Tensor:
    """The image in the content of a BMP, GIF, JPEG or PNG file, uint8 `[H, W, 1 or 3]`.

    Raises:
      ValueError: If it cannot be read, has 16 bits or moves; `where` tells of it.
    """
    try:
        image = tf.io.decode_image(content)  # An animation has one dimension more.
    except tf.errors.OpError as error:
        raise unreadable(where, error) from None
    if content.startswith(b"\x89PNG") and content[24] == 16:
        raise ValueError(f"source must have images of 8 bits. Received: {where}, a PNG of 16 bits.")
    if image.shape.rank == 4:
        image = _only_frame(image, where)
    has_alpha = image.shape[-1] in (2, 4)
    return image[..., :-1] if has_alpha else image


def like_the_first(image: tf.Tensor, expected: tuple, where: str) -> tf.Tensor:
    """The image as RGB if that is expected.

    Raises:
      ValueError: If it still has another shape.
    """
    if expected[-1] == 3 and image.shape[-1] == 1:
        image = tf.image.grayscale_to_rgb(image)
    if not image.shape.is_compatible_with(expected):
        raise ValueError(
            f"images of source must all have shape {expected} like the first; image_size resizes "
            f"them. Received: {tuple(image.shape)} in {where}."
        )
    return image


def unreadable(where: str, error: Exception) -> ValueError:
    """The error of an image that cannot be read."""
    return ValueError(
        f"source has an unreadable image. Received: {where} ({type(error).__name__})."
    )


def _only_frame(frames: tf.Tensor, where: str) -> tf.Tensor:
    if len(frames) > 1:
        raise ValueError(
            "source must have images that stand still. "
            f"Received: {where}, an animation of {len(frames)} frames."
        )
    return frames[0]
