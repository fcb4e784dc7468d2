"""Flows in probabilistic programs: surrogate posteriors, NeuTra, mixtures, autoencoders."""

from tfp_glow.inference.diagnosis import Diagnosis, diagnose
from tfp_glow.inference.fit import fit_amortized_posterior, fit_surrogate_posterior
from tfp_glow.inference.surrogate_posterior import SurrogatePosterior, surrogate_posterior

__all__ = [
    "Diagnosis",
    "SurrogatePosterior",
    "diagnose",
    "fit_amortized_posterior",
    "fit_surrogate_posterior",
    "surrogate_posterior",
]
