"""Flows in probabilistic programs: surrogate posteriors, NeuTra, mixtures, autoencoders."""

from tfp_glow.inference.calibration import calibration_ranks, credibility_levels
from tfp_glow.inference.expectation_maximization import expectation_maximization
from tfp_glow.inference.variational_autoencoder import VAE

__all__ = ["VAE", "calibration_ranks", "credibility_levels", "expectation_maximization"]
