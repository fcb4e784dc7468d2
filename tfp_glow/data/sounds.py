"""Recordings of one rate, from a folder of WAV files or one `.npz` file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfp_glow.core.checks import check_bool, check_positive_int
from tfp_glow.data.arrays import load_archive
from tfp_glow.data.validation import check_labels, missing_labels
from tfp_glow.data.wav import check_sound, read_sound

__all__ = ["Sounds", "load_sounds"]


@dataclass(frozen=True)
class Sounds:
    """Recordings and what is known of them.

    Attributes:
      recordings: float32 `[samples]` from -1 to 1 each, of different lengths.
      rate: Samples a second.
      labels: int32 `[N]`, or None.
      classes: Names of the classes, in the order of their numbers; none without labels.
      names: A name for each recording: the file's, below the folder, or the place in the `.npz`.
    """

    recordings: tuple[np.ndarray, ...]
    rate: int
    labels: np.ndarray | None
    classes: tuple[str, ...]
    names: tuple[str, ...]


def load_sounds(
    source: str | os.PathLike, *, labels: bool = False, rate: int | None = None
) -> Sounds:
    """Reads all recordings of a folder, or of an `.npz` file, into memory.

    Args:
      source: One of
        - the path of a folder of WAV files of 16 bits and one channel. The label of a file in a
          subfolder is the subfolder's name. That of a file in the folder itself is its own name up
          to the first underscore, as in the Free Spoken Digit Dataset's `7_jackson_32.wav`;
        - the path of an `.npz` file with `audio` `[total]`, the recordings one after the other as
          int16 or as floats from -1 to 1, their lengths `length` `[N]`, the number `rate`, and,
          maybe, integers `label` `[N]`.
      labels: Whether to give labels too. Classes are numbered in the order of their names.
      rate: Samples a second that all recordings must have; that of the first when omitted.

    Raises:
      ValueError, TypeError: If an argument is not as above, or a file is unreadable, empty, silent,
        of several channels or of another rate; the message names it.

    Example:

        sounds = load_sounds("free-spoken-digit-dataset/recordings", labels=True)
        frames = np.stack([LogMel().frames(sound) for sound in sounds.recordings])
        data = load_images((frames, sounds.labels), labels=True)

    References:
      Jackson et al., "Free Spoken Digit Dataset", https://github.com/Jakobovski, for the names.
    """
    check_bool(labels, "labels")
    if rate is not None:
        check_positive_int(rate, "rate")
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"source must be a path. Received: {source!r}.")
    path = Path(os.path.expanduser(source))
    if path.is_dir():
        return _read_folder(path, labels, rate)
    if path.suffix.lower() == ".npz":
        return _read_npz(path, labels, rate)
    raise ValueError(f"source must be a folder or a .npz file that exists. Received: '{path}'.")


def _read_folder(folder: Path, labels: bool, rate: int | None) -> Sounds:
    paths = _list_files(folder)
    read = [read_sound(path) for path in paths]
    rate = rate or read[0][1]
    for path, (_, found) in zip(paths, read, strict=True):
        _check_rate(found, rate, f"'{path}'")
    names = tuple(str(path.relative_to(folder)) for path in paths)
    classes, numbers = (), None
    if labels:
        of_files = [_class_name(path, folder) for path in paths]
        classes, numbers = np.unique(of_files, return_inverse=True)
        classes, numbers = tuple(classes.tolist()), numbers.astype(np.int32)
    return Sounds(tuple(sound for sound, _ in read), rate, numbers, classes, names)


def _list_files(folder: Path) -> list[Path]:
    found = [*folder.glob("[!.]*"), *folder.glob("[!.]*/[!.]*")]
    paths = sorted(path for path in found if path.suffix.lower() == ".wav")
    if not paths:
        raise ValueError(
            "source must hold WAV files, in the folder or one level below. "
            f"Received: '{folder}', without any."
        )
    return paths


def _class_name(path: Path, folder: Path) -> str:
    if path.parent != folder:
        return path.parent.name
    name, underscore, _ = path.name.partition("_")
    if not underscore:
        raise missing_labels(f"'{path}', in no subfolder and without an underscore in its name")
    return name


def _read_npz(path: Path, labels: bool, rate: int | None) -> Sounds:
    arrays = load_archive(path)
    audio, lengths = (_required(arrays, key, path) for key in ("audio", "length"))
    found = _rate_of(_required(arrays, "rate", path), path)
    _check_rate(found, rate or found, f"'{path}'")
    _check_lengths(lengths, len(audio), path)
    parts = np.split(_to_floats(audio, path), np.cumsum(lengths)[:-1])
    names = tuple(str(index) for index in range(len(parts)))
    for name, part in zip(names, parts, strict=True):
        check_sound(part, f"recording {name} of '{path}'")
    if not labels:
        return Sounds(tuple(parts), found, None, (), names)
    if "label" not in arrays:
        raise missing_labels(f"'{path}' without the array label")
    numbers = check_labels(arrays["label"], len(parts), f"label of '{path}'")
    classes = tuple(str(number) for number in range(numbers.max() + 1))
    return Sounds(tuple(parts), found, numbers, classes, names)


def _required(arrays: dict[str, np.ndarray], key: str, path: Path) -> np.ndarray:
    if key not in arrays:
        raise ValueError(f"source must have the array {key}. Received: '{path}', {list(arrays)}.")
    return arrays[key]


def _rate_of(rate: np.ndarray, path: Path) -> int:
    if rate.shape or not np.issubdtype(rate.dtype, np.integer) or rate < 1:
        raise ValueError(f"rate of '{path}' must be one int of at least 1. Received: {rate}.")
    return int(rate)


def _check_lengths(lengths: np.ndarray, total: int, path: Path) -> None:
    are_lengths = lengths.ndim == 1 and np.issubdtype(lengths.dtype, np.integer) and lengths.size
    if not are_lengths or lengths.min() < 0 or lengths.sum() != total:
        raise ValueError(
            f"length of '{path}' must hold lengths [N] that add up to that of audio, {total}. "
            f"Received: shape {lengths.shape}, dtype {lengths.dtype}, sum {lengths.sum()}."
        )


def _to_floats(audio: np.ndarray, path: Path) -> np.ndarray:
    if audio.ndim != 1:
        raise ValueError(f"audio of '{path}' must be [total]. Received: shape {audio.shape}.")
    if audio.dtype == np.int16:
        return audio.astype(np.float32) / 32768.0
    if not np.issubdtype(audio.dtype, np.floating):
        raise TypeError(f"audio of '{path}' must be int16 or floats. Received: {audio.dtype}.")
    return audio.astype(np.float32)


def _check_rate(found: int, rate: int, what: str) -> None:
    if found != rate:
        raise ValueError(
            f"sounds must all have {rate} samples a second; bring them to it with "
            f"`sox in.wav -r {rate} out.wav`. Received: {what} with {found}."
        )
