"""Published architectures, each a function that returns a `Flow`."""

from tfp_glow.flows.autoregressive_prior import autoregressive_prior
from tfp_glow.flows.conditioned import conditioned
from tfp_glow.flows.coupling_spline import coupling_spline
from tfp_glow.flows.dequantization_noise import dequantization_noise
from tfp_glow.flows.ffjord import ffjord
from tfp_glow.flows.gaussian import gaussian, gaussian_base
from tfp_glow.flows.glow import glow
from tfp_glow.flows.iaf import iaf
from tfp_glow.flows.iresnet import iresnet
from tfp_glow.flows.jet import jet
from tfp_glow.flows.linear import linear
from tfp_glow.flows.maf import maf
from tfp_glow.flows.nice import nice
from tfp_glow.flows.planar_flow import planar
from tfp_glow.flows.radial_flow import radial
from tfp_glow.flows.realnvp import realnvp
from tfp_glow.flows.recipe import RECIPES
from tfp_glow.flows.residual_flow import residual_flow
from tfp_glow.flows.stack import stack
from tfp_glow.flows.sylvester_flow import sylvester
from tfp_glow.flows.tabular import tabular
from tfp_glow.flows.tarflow import tarflow
from tfp_glow.flows.waveglow import waveglow

__all__ = [
    "RECIPES",
    "autoregressive_prior",
    "conditioned",
    "coupling_spline",
    "dequantization_noise",
    "ffjord",
    "gaussian",
    "gaussian_base",
    "glow",
    "iaf",
    "iresnet",
    "jet",
    "linear",
    "maf",
    "nice",
    "planar",
    "radial",
    "realnvp",
    "residual_flow",
    "stack",
    "sylvester",
    "tabular",
    "tarflow",
    "waveglow",
]
