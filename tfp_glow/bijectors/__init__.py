"""Normalizing-flow bijectors; each is a `tfp.bijectors.Bijector`."""

from tfp_glow.bijectors.actnorm import ActNorm
from tfp_glow.bijectors.autoregressive_tokens import AutoregressiveTokens
from tfp_glow.bijectors.chain import Chain
from tfp_glow.bijectors.class_conditional import ClassConditional
from tfp_glow.bijectors.conditioned import Conditioned
from tfp_glow.bijectors.continuous_flow import ContinuousFlow
from tfp_glow.bijectors.coupling import Coupling
from tfp_glow.bijectors.diagonal_affine import DiagonalAffine
from tfp_glow.bijectors.diagonal_scaling import DiagonalScaling
from tfp_glow.bijectors.gaussian_prior import GaussianPrior
from tfp_glow.bijectors.glow_step import GlowStep
from tfp_glow.bijectors.invert import Invert
from tfp_glow.bijectors.invertible_conv import Invertible1x1Conv
from tfp_glow.bijectors.logit import Logit
from tfp_glow.bijectors.marginal_gaussianization import MarginalGaussianization
from tfp_glow.bijectors.masked_autoregressive import MaskedAutoregressive
from tfp_glow.bijectors.multiscale import MultiScale
from tfp_glow.bijectors.permutation import Permutation
from tfp_glow.bijectors.planar import Planar
from tfp_glow.bijectors.radial import Radial
from tfp_glow.bijectors.recompute import Recompute
from tfp_glow.bijectors.repeat import Repeat
from tfp_glow.bijectors.residual_block import ResidualBlock
from tfp_glow.bijectors.reversible_unit import ReversibleUnit
from tfp_glow.bijectors.squeeze import Squeeze
from tfp_glow.bijectors.standardized import Standardized
from tfp_glow.bijectors.sylvester import Sylvester
from tfp_glow.core.bijector import FlowBijector

__all__ = [
    "ActNorm",
    "AutoregressiveTokens",
    "Chain",
    "ClassConditional",
    "Conditioned",
    "ContinuousFlow",
    "Coupling",
    "DiagonalAffine",
    "DiagonalScaling",
    "FlowBijector",
    "GaussianPrior",
    "GlowStep",
    "Invert",
    "Invertible1x1Conv",
    "Logit",
    "MarginalGaussianization",
    "MaskedAutoregressive",
    "MultiScale",
    "Permutation",
    "Planar",
    "Radial",
    "Recompute",
    "Repeat",
    "ResidualBlock",
    "ReversibleUnit",
    "Squeeze",
    "Standardized",
    "Sylvester",
]
