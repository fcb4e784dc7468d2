"""Coupling laws: the elementwise maps whose parameters a coupling's network gives.

A law turns `raw`, the network's output, into an elementwise bijection:

    law.inverse(x, raw) -> (z, elementwise log|dz/dx|)
    law.forward(z, raw) -> (x, elementwise log|dx/dz|)

and says in `parameters_per_channel` how many channels of `raw` each transformed channel needs.
A `raw` of zeros is where every law is nearest to the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf

from tfp_glow.bijectors.checks import check_choice

__all__ = ["Additive", "AffineExp", "AffineSigmoid", "Law", "get_law"]


class Law(Protocol):
    """What a coupling asks of its law."""

    parameters_per_channel: int

    def forward(self, z, raw): ...

    def inverse(self, x, raw): ...


@dataclass(frozen=True)
class Additive:
    """z = x + shift, with log-det 0."""

    parameters_per_channel = 1

    def forward(self, z, raw):
        return z - raw, tf.zeros_like(z)

    def inverse(self, x, raw):
        return x + raw, tf.zeros_like(x)


class _Affine:
    """z = (x + shift) * exp(log_scale); a subclass bounds the scale."""

    parameters_per_channel = 2

    def forward(self, z, raw):
        shift, log_scale = self._shift_and_log_scale(raw)
        return z * tf.exp(-log_scale) - shift, -log_scale

    def inverse(self, x, raw):
        shift, log_scale = self._shift_and_log_scale(raw)
        return (x + shift) * tf.exp(log_scale), log_scale

    def _shift_and_log_scale(self, raw):
        shift, raw_scale = tf.split(raw, 2, axis=-1)
        return shift, self._log_scale(raw_scale)


@dataclass(frozen=True)
class AffineSigmoid(_Affine):
    """z = (x + shift) * scale with scale = floor + (1 - floor) * sigmoid(s + 2).

    The floor keeps the generated x = z / scale - shift within 1 / floor of the latent, where
    a bare sigmoid reaches 0.
    """

    floor: float = 1e-2

    def _log_scale(self, s):
        return tf.math.log(self.floor + (1.0 - self.floor) * tf.sigmoid(s + 2.0))


@dataclass(frozen=True)
class AffineExp(_Affine):
    """z = (x + shift) * exp(log_scale) with log_scale = bound * tanh(s / bound)."""

    bound: float = 5.0

    def _log_scale(self, s):
        return self.bound * tf.tanh(s / self.bound)


_LAWS = {"additive": Additive, "affine": AffineSigmoid, "affine_exp": AffineExp}


def get_law(law: str | Law) -> Law:
    """The law of that name, or `law` itself where it is one."""
    if isinstance(law, str):
        return _LAWS[check_choice(law, tuple(_LAWS), "law")]()
    if not all(hasattr(law, name) for name in ("forward", "inverse", "parameters_per_channel")):
        raise TypeError(f"law must be a name or have forward and inverse. Received: {law!r}.")
    return law
