"""Batches of images from arrays, files, folders and data set libraries, of tables, and sounds."""

from tfp_glow.data.loading import ImageData, load_images
from tfp_glow.data.log_mel import LogMel
from tfp_glow.data.sounds import Sounds, load_sounds
from tfp_glow.data.tables import TableData, load_table
from tfp_glow.data.wav import read_sound, write_sound

__all__ = [
    "ImageData",
    "LogMel",
    "Sounds",
    "TableData",
    "load_images",
    "load_sounds",
    "load_table",
    "read_sound",
    "write_sound",
]
