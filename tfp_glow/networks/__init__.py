"""Keras 3 networks for the couplings; they know nothing of TFP."""

from tfp_glow.networks.conv import GlowNetwork, ZeroConv2D
from tfp_glow.networks.mlp import MLP

__all__ = ["MLP", "GlowNetwork", "ZeroConv2D"]
