"""Flows in probabilistic programs: surrogate posteriors, NeuTra, mixtures, autoencoders."""

from tfp_glow.inference.variational_autoencoder import VAE

__all__ = ["VAE"]
