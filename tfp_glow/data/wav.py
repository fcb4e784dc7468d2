"""One sound of one channel as a WAV file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int
from tfp_glow.files import replacing

__all__ = ["check_sound", "read_sound", "write_sound"]

_MAGIC = (b"RIFF", b"RIFX", b"RF64")


def read_sound(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """The samples of a WAV file of 16 bits and one channel, and its rate.

    Args:
      path: File to read.

    Returns:
      sound: float32 `[samples]` from -1 to below 1.
      rate: Samples a second.

    Raises:
      ValueError: If the file is missing, no WAV of 16 bits, stereo, empty or silent; it is named.

    Example:

        sound, rate = read_sound("7_jackson_32.wav")
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"path must be an existing WAV file. Received: '{path}'.")
    try:
        audio, rate = tf.audio.decode_wav(path.read_bytes())
    except tf.errors.OpError as error:
        raise ValueError(_unreadable(path, error.message)) from None
    if audio.shape[1] != 1:
        raise ValueError(
            f"sounds must have one channel; mix them down with `sox '{path.name}' -c 1 mono.wav`. "
            f"Received: '{path}' with {audio.shape[1]} channels."
        )
    sound = audio.numpy()[:, 0]
    check_sound(sound, f"'{path}'")
    return sound, int(rate)


def write_sound(path: str | os.PathLike, sound, *, rate: int) -> None:
    """Writes a WAV file of 16 bits and one channel, whole or not at all.

    Args:
      path: File to write.
      sound: `[samples]` from -1 to 1.
      rate: Samples a second.

    Raises:
      ValueError, TypeError: If `sound` has another rank, is empty, or leaves its range.

    Example:

        write_sound("a.wav", np.sin(2 * np.pi * 440 * np.arange(8000) / 8000), rate=8000)
    """
    check_positive_int(rate, "rate")
    sound = np.asarray(sound, np.float32)
    if sound.ndim != 1 or not sound.size:
        raise ValueError(f"sound must have shape [samples]. Received: shape {sound.shape}.")
    if not np.abs(sound).max() <= 1.0:  # NaN as well.
        raise ValueError(
            "sound must lie in [-1, 1]; divide it by its greatest absolute value. "
            f"Received: values from {sound.min()} to {sound.max()}."
        )
    content = tf.audio.encode_wav(sound[:, np.newaxis], rate)
    with replacing(path) as temporary:
        temporary.write_bytes(content.numpy())


def check_sound(sound: np.ndarray, what: str) -> None:
    """Raises where a sound is empty, silent throughout or not finite."""
    if not sound.size:
        raise ValueError(f"sounds must not be empty; leave it out. Received: {what}, no samples.")
    if not np.isfinite(sound).all():
        raise ValueError(f"sounds must be finite. Received: {what} with NaN or infinity.")
    if not sound.any():
        raise ValueError(f"sounds must not be silent; leave it out. Received: {what}, all zeros.")


def _unreadable(path: Path, reason: str) -> str:
    if path.read_bytes()[:4] not in _MAGIC:
        return f"sounds must be WAV files. Received: '{path}', which is none."
    return (
        f"sounds must be whole WAV files of 16 bits; write them anew with `sox '{path.name}' -b 16 "
        f"new.wav`. Received: '{path}' ({reason})."
    )
