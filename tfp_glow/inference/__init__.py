"""Flows in probabilistic programs: surrogate posteriors, NeuTra, mixtures, autoencoders."""

from tfp_glow.inference.calibration import calibration_ranks, credibility_levels
from tfp_glow.inference.chains import Chains
from tfp_glow.inference.diagnosis import Diagnosis, diagnose
from tfp_glow.inference.expectation_maximization import expectation_maximization
from tfp_glow.inference.fit import fit_amortized_posterior, fit_surrogate_posterior
from tfp_glow.inference.neutra import Neutra, neutra
from tfp_glow.inference.surrogate_posterior import SurrogatePosterior, surrogate_posterior
from tfp_glow.inference.variational_autoencoder import VAE

__all__ = [
    "VAE",
    "Chains",
    "Diagnosis",
    "Neutra",
    "SurrogatePosterior",
    "calibration_ranks",
    "credibility_levels",
    "diagnose",
    "expectation_maximization",
    "fit_amortized_posterior",
    "fit_surrogate_posterior",
    "neutra",
    "surrogate_posterior",
]
