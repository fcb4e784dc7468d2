"""Batches of integer images from arrays, files, folders and data set libraries."""

from tfp_glow.data.loading import ImageData, load_images

__all__ = ["ImageData", "load_images"]
