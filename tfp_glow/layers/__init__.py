"""Keras layers that undo themselves, for models of one's own."""

from tfp_glow.layers.bijective import Bijective
from tfp_glow.layers.reversible import Reversible
from tfp_glow.layers.standardize import Standardize

__all__ = ["Bijective", "Reversible", "Standardize"]
