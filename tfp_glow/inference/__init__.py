"""Flows in probabilistic programs: surrogate posteriors, NeuTra, mixtures, autoencoders."""

__all__ = []
