"""Coupling laws, and the masks that tell what a coupling transforms."""

from tfp_glow.laws.elementwise import (
    Additive,
    AffineExp,
    AffineSigmoid,
    AffineSoftsign,
    FromBijector,
    Law,
    Multiplicative,
    get_law,
)
from tfp_glow.laws.logistic_mixture import LogisticMixture
from tfp_glow.laws.masks import MaskName, get_mask, kept_channels
from tfp_glow.laws.spline import RationalQuadraticSpline

__all__ = [
    "Additive",
    "AffineExp",
    "AffineSigmoid",
    "AffineSoftsign",
    "FromBijector",
    "Law",
    "LogisticMixture",
    "MaskName",
    "Multiplicative",
    "RationalQuadraticSpline",
    "get_law",
    "get_mask",
    "kept_channels",
]
