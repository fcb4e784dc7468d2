"""Flows in probabilistic programs: surrogate posteriors, NeuTra, mixtures, autoencoders."""

from tfp_glow.inference.calibration import calibration_ranks, credibility_levels
from tfp_glow.inference.expectation_maximization import expectation_maximization

__all__ = ["calibration_ranks", "credibility_levels", "expectation_maximization"]
