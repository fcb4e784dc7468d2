"""Sounds as images of 8 bits, and back."""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_number, check_positive_int
from tfp_glow.data.griffin_lim import griffin_lim, short_time_fourier_transform
from tfp_glow.data.wav import check_sound

__all__ = ["LogMel"]

_TOP = 255


@keras.saving.register_keras_serializable("tfp_glow")
@dataclasses.dataclass(frozen=True)
class LogMel:
    """Log-mel spectrograms as integers from 0 to 255, which flows on images take as they are.

        frames(sound)[t, f] = 255 (1 + dB[t, f] / range_db),   dB = 20 log10(m / max m)

    with m[t, f] the f-th mel band of the magnitudes of the short-time Fourier transform, around the
    sample `t * hop`. What is more than `range_db` below the loudest value is 0, and so is what lies
    behind the end of a short sound; a long one is cut. How loud the recording was is not kept.

    `sound(frames)` brings the bands back to frequencies by the pseudo-inverse of the filters, and
    finds phases by Griffin and Lim's iterations. It is no exact inverse: phases, and what lies
    between the bands, are lost.

    Args:
      rate: Samples a second.
      num_frames: Number of frames T, one each `hop` samples.
      num_mels: Number of mel bands F, up to half of the rate.
      frame_length: Samples of a frame.
      hop: Samples from one frame to the next.
      range_db: Decibels from the loudest value to 0.

    Raises:
      ValueError, TypeError: If an argument is out of its range, or a band holds no frequency.

    Example:

        log_mel = LogMel(rate=8000)
        frames = log_mel.frames(sound)                     # uint8 [32, 32, 1]
        write_sound("again.wav", log_mel.sound(frames), rate=8000)

    References:
      Stevens, Volkmann and Newman, "A Scale for the Measurement of the Psychological Magnitude
      Pitch", J. Acoust. Soc. Am. 8, 1937.
    """

    rate: int = 8000
    num_frames: int = 32
    num_mels: int = 32
    frame_length: int = 512
    hop: int = 160
    range_db: float = 60.0

    def __post_init__(self):
        for name in ("rate", "num_frames", "num_mels", "frame_length", "hop"):
            check_positive_int(getattr(self, name), name)
        check_number(self.range_db, "range_db", above=0)
        if self.hop > self.frame_length:
            raise ValueError(
                f"hop must be at most frame_length={self.frame_length}. Received: {self.hop}."
            )
        empty = int((self._filters().sum(0) == 0.0).sum())
        if empty:
            raise ValueError(
                "num_mels must leave a frequency for each band; take fewer, or a longer "
                f"frame_length than {self.frame_length}. "
                f"Received: {self.num_mels}, of which {empty} have none."
            )

    @property
    def num_samples(self) -> int:
        """Samples that the frames cover."""
        return self.num_frames * self.hop

    def frames(self, sound) -> np.ndarray:
        """Integers from 0 to 255 of a sound.

        Args:
          sound: `[samples]` of any length, of `rate` samples a second.

        Returns:
          frames: uint8 `[num_frames, num_mels, 1]`.

        Raises:
          ValueError: If the sound has another rank, is empty, silent or not finite.
        """
        sound = np.asarray(sound, np.float32)
        if sound.ndim != 1:
            raise ValueError(f"sound must have shape [samples]. Received: shape {sound.shape}.")
        check_sound(sound[: self.num_samples], "sound")
        spectrum = short_time_fourier_transform(self._fitted(sound), self.frame_length, self.hop)
        mels = tf.abs(spectrum).numpy() @ self._filters()
        decibels = 20.0 * np.log10(np.maximum(mels / mels.max(), 1e-12))
        levels = np.round(_TOP * np.maximum(0.0, 1.0 + decibels / self.range_db))
        return levels.astype(np.uint8)[..., np.newaxis]

    def sound(self, frames, *, iterations: int = 32, seed: int = 0) -> np.ndarray:
        """A sound with these frames, of a peak of 0.5.

        Args:
          frames: `[num_frames, num_mels, 1]`, integers or floats from 0 to 255.
          iterations: Iterations of Griffin and Lim.
          seed: Seed of the phases that they start from.

        Returns:
          sound: float32 `[num_frames * hop]`.

        Raises:
          ValueError: If the frames have another shape or are not finite.
        """
        magnitudes = self._magnitudes(self._checked(frames))
        sound = griffin_lim(
            magnitudes, self.frame_length, self.hop, iterations=iterations, seed=seed
        )
        start = self.frame_length // 2
        sound = sound[start : start + self.num_samples]
        sound = np.pad(sound, (0, self.num_samples - len(sound)))
        return 0.5 * sound / max(np.abs(sound).max(), 1e-12)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict) -> LogMel:
        return cls(**config)

    def _fitted(self, sound: np.ndarray) -> np.ndarray:
        """The sound with half a frame of silence before it, cut or filled up behind."""
        samples = self.frame_length + (self.num_frames - 1) * self.hop
        fitted, start = np.zeros(samples, np.float32), self.frame_length // 2
        sound = sound[: samples - start]
        fitted[start : start + len(sound)] = sound
        return fitted

    def _checked(self, frames) -> np.ndarray:
        """`[num_frames, num_mels]` from 0 to 255."""
        levels, shape = np.asarray(frames, np.float32), (self.num_frames, self.num_mels, 1)
        if levels.shape != shape:
            raise ValueError(f"frames must have shape {shape}. Received: shape {levels.shape}.")
        if not np.isfinite(levels).all():
            raise ValueError("frames must be finite. Received: NaN or infinity.")
        return np.clip(levels[..., 0], 0.0, _TOP)

    def _magnitudes(self, levels: np.ndarray) -> np.ndarray:
        """`[num_frames, frequencies]`."""
        mels = np.where(levels > 0, 10.0 ** ((levels / _TOP - 1.0) * self.range_db / 20.0), 0.0)
        return np.maximum(mels @ np.linalg.pinv(self._filters()), 0.0)

    def _filters(self) -> np.ndarray:
        return _mel_filters(self.num_mels, self.frame_length // 2 + 1, self.rate)


@functools.cache
def _mel_filters(num_mels: int, frequencies: int, rate: int) -> np.ndarray:
    """`[frequencies, num_mels]`, triangles that overlap by half."""
    args = num_mels, frequencies, rate, 0.0, rate / 2
    return tf.signal.linear_to_mel_weight_matrix(*args).numpy()
