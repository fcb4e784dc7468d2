"""Published flows, each a function that returns a `Flow`."""

from tfp_glow.flows.glow import glow
from tfp_glow.flows.recipe import RECIPES

__all__ = ["RECIPES", "glow"]
