"""Sounds from the magnitudes of their short-time Fourier transforms."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_glow.core.randomness import random_generator

__all__ = ["griffin_lim", "short_time_fourier_transform"]

_MOMENTUM = 0.99


def short_time_fourier_transform(sound, frame_length: int, hop: int) -> tf.Tensor:
    """`[frames, frame_length // 2 + 1]` of `[samples]`, under Hann windows."""
    return tf.signal.stft(sound, frame_length, hop, fft_length=frame_length)


def griffin_lim(
    magnitudes: np.ndarray, frame_length: int, hop: int, *, iterations: int, seed: int
) -> np.ndarray:
    """A sound whose short-time Fourier transform has about these magnitudes.

    Few arrays of complex numbers are transforms of a sound. Each iteration goes to the sound whose
    transform is closest and back, keeps the phases found there, moved on by a momentum, and takes
    the magnitudes that were given.

    Args:
      magnitudes: `[frames, frame_length // 2 + 1]`.
      frame_length: Samples of a frame.
      hop: Samples from one frame to the next.
      iterations: Number of iterations; with none the phases are random.
      seed: Seed of the first phases.

    Returns:
      float32 `[frame_length + (frames - 1) * hop]`.

    References:
      Griffin and Lim, "Signal Estimation from Modified Short-Time Fourier Transform", IEEE
      Transactions on Acoustics, Speech, and Signal Processing 32, 1984.
      Perraudin, Balazs and Sondergaard, "A Fast Griffin-Lim Algorithm", WASPAA 2013.
    """
    magnitudes = tf.cast(magnitudes, tf.complex64)
    angles = random_generator(seed).uniform(-np.pi, np.pi, magnitudes.shape)
    phases, before = tf.constant(np.exp(1j * angles), tf.complex64), None
    for _ in range(iterations):
        sound = _sound_of(magnitudes * phases, frame_length, hop)
        found = short_time_fourier_transform(sound, frame_length, hop)
        moved = found if before is None else found + _MOMENTUM * (found - before)
        phases, before = moved / tf.cast(tf.maximum(tf.abs(moved), 1e-12), tf.complex64), found
    return _sound_of(magnitudes * phases, frame_length, hop).numpy()


def _sound_of(spectrum, frame_length: int, hop: int):
    window = tf.signal.inverse_stft_window_fn(hop)
    return tf.signal.inverse_stft(
        spectrum, frame_length, hop, fft_length=frame_length, window_fn=window
    )
