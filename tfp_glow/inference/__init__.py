"""Flows in probabilistic programs: surrogate posteriors, NeuTra, mixtures, autoencoders."""

from tfp_glow.inference.chains import Chains
from tfp_glow.inference.diagnosis import Diagnosis, diagnose
from tfp_glow.inference.fit import fit_amortized_posterior, fit_surrogate_posterior
from tfp_glow.inference.neutra import Neutra, neutra
from tfp_glow.inference.surrogate_posterior import SurrogatePosterior, surrogate_posterior

__all__ = [
    "Chains",
    "Diagnosis",
    "Neutra",
    "SurrogatePosterior",
    "diagnose",
    "fit_amortized_posterior",
    "fit_surrogate_posterior",
    "neutra",
    "surrogate_posterior",
]
