"""Normalizing-flow bijectors; each is a `tfp.bijectors.Bijector`."""

from tfp_glow.bijectors.actnorm import ActNorm
from tfp_glow.bijectors.base import FlowBijector
from tfp_glow.bijectors.chain import Chain
from tfp_glow.bijectors.coupling import Coupling
from tfp_glow.bijectors.gaussian_prior import GaussianPrior
from tfp_glow.bijectors.glow_step import GlowStep
from tfp_glow.bijectors.invertible_conv import Invertible1x1Conv
from tfp_glow.bijectors.multiscale import MultiScale
from tfp_glow.bijectors.repeat import Repeat
from tfp_glow.bijectors.squeeze import Squeeze

__all__ = [
    "ActNorm",
    "Chain",
    "Coupling",
    "FlowBijector",
    "GaussianPrior",
    "GlowStep",
    "Invertible1x1Conv",
    "MultiScale",
    "Repeat",
    "Squeeze",
]
