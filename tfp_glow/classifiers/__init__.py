"""Reversible classifiers, each a function that returns a Keras model with logits."""

from tfp_glow.classifiers.irevnet import irevnet
from tfp_glow.classifiers.revnet import revnet
from tfp_glow.classifiers.revvit import revvit

__all__ = ["irevnet", "revnet", "revvit"]
