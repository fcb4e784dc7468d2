"""What a coupling keeps and what it transforms.

A mask splits a value and puts it together again:

    mask.split(value) -> (kept, rest)       mask.join(kept, rest) -> value

The network reads `kept`, the law transforms `rest`; `mask.where_transformed(log_det)` leaves only
the entries of a log-det that belong to transformed values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_choice

__all__ = [
    "ChannelMask",
    "Checkerboard",
    "Mask",
    "MaskName",
    "get_mask",
    "kept_and_transformed",
    "kept_channels",
]

MaskName = Literal[
    "first_half", "second_half", "even", "odd", "checkerboard_even", "checkerboard_odd"
]


class Mask(Protocol):
    """What a coupling asks of its mask."""

    def split(self, value): ...

    def join(self, kept, rest): ...

    def where_transformed(self, log_det): ...


class ChannelMask:
    """Keeps some channels and takes the others out of the network's sight."""

    def __init__(self, kept: np.ndarray):
        order = np.argsort(~kept, kind="stable")
        self._sizes = [int(kept.sum()), int((~kept).sum())]
        self._order = None if (order == np.arange(kept.size)).all() else order

    def split(self, value):
        """The kept channels and the others, in their order."""
        if self._order is not None:
            value = tf.gather(value, self._order, axis=-1)
        return tf.split(value, self._sizes, axis=-1)

    def join(self, kept, rest):
        """Every channel back in its place."""
        value = tf.concat([kept, rest], -1)
        return value if self._order is None else tf.gather(value, np.argsort(self._order), axis=-1)

    def where_transformed(self, log_det):
        """The log-det itself: the law sees transformed channels alone."""
        return log_det


class Checkerboard:
    """Keeps every other position; the network sees zeros at those transformed."""

    def __init__(self, shape: Sequence[int], parity: int):
        rows, columns = np.indices(shape)
        self._kept = ((rows + columns) % 2 == parity)[..., np.newaxis]

    def split(self, value):
        """The value with zeros at the transformed positions, and with zeros at the kept ones."""
        zeros = tf.zeros_like(value)
        return tf.where(self._kept, value, zeros), tf.where(self._kept, zeros, value)

    def join(self, kept, rest):
        """Each position from where it was left."""
        return tf.where(self._kept, kept, rest)

    def where_transformed(self, log_det):
        """Zero at the kept positions."""
        return tf.where(self._kept, tf.zeros_like(log_det), log_det)


def get_mask(mask: MaskName | Sequence[bool], shape: Sequence[int]) -> Mask:
    """The mask of that name, or of that boolean array, for events of a shape.

    Args:
      mask: A name, which tells what is kept: `"first_half"` or `"second_half"` of the channels,
        the channels at `"even"` or `"odd"` places, the positions whose row and column add up
        to an even or an odd number for `"checkerboard_even"` and `"checkerboard_odd"`. Or one
        boolean a channel, True where it is kept.
      shape: Shape of an event, channels last.

    Raises:
      ValueError: If the mask does not fit the shape, or leaves nothing to keep or to transform.
    """
    if isinstance(mask, str) and mask.startswith("checkerboard"):
        check_choice(mask, get_args(MaskName), "mask")
        if len(shape) != 3 or shape[0] * shape[1] < 2:
            raise ValueError(
                f"mask {mask!r} needs events [H, W, C] of two positions or more. "
                f"Received: event shape {tuple(shape)}."
            )
        return Checkerboard(shape[:2], parity=int(mask.endswith("odd")))
    return ChannelMask(kept_channels(mask, shape[-1]))


def kept_channels(mask: MaskName | Sequence[bool], channels: int) -> np.ndarray:
    """One boolean a channel: which of them a coupling's network sees."""
    if isinstance(mask, str):
        check_choice(mask, get_args(MaskName), "mask")
        if mask.startswith("checkerboard"):
            return np.ones(channels, bool)
        kept = _named(mask, np.arange(channels))
    else:
        kept = _checked_array(mask, channels)
    if kept.all() or not kept.any():
        raise ValueError(
            "mask must leave channels to keep and channels to transform. "
            f"Received: {mask!r} for {channels} channels."
        )
    return kept


def _named(mask: str, index: np.ndarray) -> np.ndarray:
    half = index.size // 2
    return {
        "first_half": index < half,
        "second_half": index >= half,
        "even": index % 2 == 0,
        "odd": index % 2 == 1,
    }[mask]


def _checked_array(mask, channels: int) -> np.ndarray:
    kept = np.asarray(mask)
    if kept.dtype != bool or kept.shape != (channels,):
        raise ValueError(
            f"mask must be a name or {channels} booleans, one a channel. "
            f"Received: dtype {kept.dtype.name}, shape {kept.shape}."
        )
    return kept


def kept_and_transformed(
    mask: MaskName | Sequence[bool], event_shape: Sequence[int]
) -> tuple[tuple[int, ...], int]:
    """Shape of what a coupling's network sees, and the channels for which it gives parameters."""
    *positions, channels = event_shape
    kept = int(kept_channels(mask, channels).sum())
    # On a checkerboard all channels are seen, and all transformed.
    return (*positions, kept), channels - kept or channels
