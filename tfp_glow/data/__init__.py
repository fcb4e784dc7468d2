"""Batches of images from arrays, files, folders and data set libraries, and of tables."""

from tfp_glow.data.loading import ImageData, load_images
from tfp_glow.data.tables import TableData, load_table

__all__ = ["ImageData", "TableData", "load_images", "load_table"]
