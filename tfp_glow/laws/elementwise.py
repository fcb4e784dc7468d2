"""Coupling laws: the elementwise maps whose parameters a coupling's network gives.

A law turns `raw`, the network's output, into an elementwise bijection:

    law.inverse(x, raw) -> (z, elementwise log|dz/dx|)
    law.forward(z, raw) -> (x, elementwise log|dx/dz|)

and says in `parameters_per_channel` how many channels of `raw` each transformed channel needs,
which come one after the other: all channels' first parameters, then all their second ones. It does
the same to every channel, so that one can be transformed by itself. A `raw` of zeros is where every
law is nearest to the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_choice, check_number
from tfp_glow.laws.logistic_mixture import LogisticMixture
from tfp_glow.laws.spline import RationalQuadraticSpline

__all__ = [
    "Additive",
    "AffineExp",
    "AffineSigmoid",
    "AffineSoftsign",
    "FromBijector",
    "Law",
    "Multiplicative",
    "check_parameters",
    "get_law",
]


class Law(Protocol):
    """What a coupling asks of its law; None parameters per channel mean that any will do."""

    parameters_per_channel: int | None

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
    """z = (x + shift) * scale with scale = floor + (top - floor) * sigmoid(s + offset).

    The floor keeps the generated x = z / scale - shift within 1 / floor of the latent, where
    a bare sigmoid reaches 0. Jet has `top=2` and `offset=0`, whose scale starts at 1.
    """

    floor: float = 1e-2
    top: float = 1.0
    offset: float = 2.0

    def __post_init__(self):
        check_number(self.floor, "floor", above=0)
        check_number(self.top, "top", above=self.floor)
        check_number(self.offset, "offset")

    def _log_scale(self, s):
        return tf.math.log(self.floor + (self.top - self.floor) * tf.sigmoid(s + self.offset))


@dataclass(frozen=True)
class AffineExp(_Affine):
    """z = (x + shift) * exp(log_scale) with log_scale = bound * tanh(s / bound)."""

    bound: float = 5.0

    def __post_init__(self):
        check_number(self.bound, "bound", above=0)

    def _log_scale(self, s):
        return self.bound * tf.tanh(s / self.bound)


@dataclass(frozen=True)
class AffineSoftsign:
    """z = x * exp(log_scale) + shift with log_scale = bound * s / (bound + |s|).

    It comes to its bound slowly, so that no s is lost to learning. With a bound of 1 it scales by e
    at most: ten in a row leave an outlier of ten standard deviations a density that float32 holds.
    The shift is one of latents, which a scale that grows does not enlarge.
    """

    bound: float = 1.0
    parameters_per_channel = 2

    def __post_init__(self):
        check_number(self.bound, "bound", above=0)

    def forward(self, z, raw):
        shift, log_scale = self._shift_and_log_scale(raw)
        return (z - shift) * tf.exp(-log_scale), -log_scale

    def inverse(self, x, raw):
        shift, log_scale = self._shift_and_log_scale(raw)
        return x * tf.exp(log_scale) + shift, log_scale

    def _shift_and_log_scale(self, raw):
        shift, s = tf.split(raw, 2, axis=-1)
        return shift, self.bound * s / (self.bound + tf.abs(s))


@dataclass(frozen=True)
class Multiplicative:
    """z = x * exp(log_scale) with log_scale = bound * tanh(s / bound)."""

    bound: float = 5.0
    parameters_per_channel = 1

    def __post_init__(self):
        check_number(self.bound, "bound", above=0)

    def forward(self, z, raw):
        log_scale = self.bound * tf.tanh(raw / self.bound)
        return z * tf.exp(-log_scale), -log_scale

    def inverse(self, x, raw):
        log_scale = self.bound * tf.tanh(raw / self.bound)
        return x * tf.exp(log_scale), log_scale


@dataclass(frozen=True)
class FromBijector:
    """x = make_bijector(raw).forward(z), element by element, with a `tfb.Bijector`."""

    make_bijector: Callable
    parameters_per_channel = None

    def forward(self, z, raw):
        bijector = self._bijector(raw)
        return bijector.forward(z), bijector.forward_log_det_jacobian(z, event_ndims=0)

    def inverse(self, x, raw):
        bijector = self._bijector(raw)
        return bijector.inverse(x), bijector.inverse_log_det_jacobian(x, event_ndims=0)

    def _bijector(self, raw) -> tfp.bijectors.Bijector:
        bijector = self.make_bijector(raw)
        if not isinstance(bijector, tfp.bijectors.Bijector):
            raise TypeError(f"law must return a tfb.Bijector. Received: {bijector!r}.")
        return bijector


_LAWS = {
    "additive": Additive,
    "multiplicative": Multiplicative,
    "affine": AffineSigmoid,
    "affine_exp": AffineExp,
    "affine_softsign": AffineSoftsign,
    "spline": RationalQuadraticSpline,
    "logistic_mixture": LogisticMixture,
}


def get_law(law: str | Law | Callable) -> Law:
    """The law of that name, `law` itself where it is one, or that of a function to a bijector."""
    if isinstance(law, str):
        return _LAWS[check_choice(law, tuple(_LAWS), "law")]()
    if all(hasattr(law, name) for name in ("forward", "inverse", "parameters_per_channel")):
        return law
    if not callable(law):
        raise TypeError(
            "law must be a name, have forward and inverse, or be a function from the network's "
            f"output to a tfb.Bijector. Received: {law!r}."
        )
    return FromBijector(law)


def check_parameters(raw, value, law: Law, name: str) -> None:
    """Raises unless a network's output `raw` fits the law of the values."""
    if law.parameters_per_channel is None:
        return
    expected = value.shape[-1] * law.parameters_per_channel
    if raw.shape[-1] != expected:
        raise ValueError(
            f"network of {name} must give {expected} channels for its law {law}. "
            f"Received: {raw.shape[-1]} channels."
        )
