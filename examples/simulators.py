"""Simulators whose posteriors are known, for `posterior_estimation.py` and the benchmarks."""

from __future__ import annotations

from typing import Protocol

import numpy as np

__all__ = ["SIMULATORS", "Simulator"]


class Simulator(Protocol):
    """Parameters with a prior, observations that are simulated from them, and the posterior.

    Attributes:
      size: Number of parameters, and of values of an observation.
    """

    size: int

    def draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Parameters from the prior and an observation of each, `[count, size]` both."""

    def well_known(self, parameters: np.ndarray) -> np.ndarray:
        """Which parameters give observations whose posterior `posterior` draws from."""

    def posterior(self, observations: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """One draw from the posterior of each observation."""

    def log_posterior(self, parameters: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """The log-density `[count]` of parameters given observations."""


class Gaussian:
    """y = A x + noise, of which all is Gaussian.

    p(x given y) = N(S A^T y / v, S),   S = (I + A^T A / v)^-1,   with noise of variance v
    """

    size = 4
    variance = 0.25

    def __init__(self):
        self.matrix = np.random.default_rng(0).normal(size=(self.size, self.size)) / 2
        self.precision = np.eye(self.size) + self.matrix.T @ self.matrix / self.variance
        self.covariance = np.linalg.inv(self.precision)

    def draw(self, count, generator):
        x = generator.normal(size=(count, self.size))
        noise = np.sqrt(self.variance) * generator.normal(size=x.shape)
        return x, x @ self.matrix.T + noise

    def well_known(self, parameters):
        return np.ones(len(parameters), bool)

    def posterior(self, observations, generator):
        root = np.linalg.cholesky(self.covariance)
        return self._mean(observations) + generator.normal(size=observations.shape) @ root.T

    def log_posterior(self, parameters, observations):
        apart = parameters - self._mean(observations)
        squares = np.sum(apart @ self.precision * apart, -1)
        log_det = np.linalg.slogdet(2 * np.pi * self.covariance)[1]
        return -0.5 * (squares + log_det)

    def _mean(self, observations):
        return observations @ self.matrix @ self.covariance / self.variance


class TwoMoons:
    """Two crescents, a task of sbibm (Lueckmann et al., arXiv:2101.04653).

        y = p + (-|s|, t),   s = (x_1 + x_2) / sqrt(2),   t = (x_2 - x_1) / sqrt(2)

    for x uniform in [-1, 1]^2, with p on a half circle of radius r ~ N(0.1, 0.01^2) to the right of
    (0.25, 0). x -> (s, t) is a rotation, so that the posterior is the density of p at both s that
    fit, half of it each, wherever neither crescent reaches the prior's border or the fold s = 0.
    """

    size = 2
    center, radius, deviation = np.array([0.25, 0.0]), 0.1, 0.01

    def draw(self, count, generator):
        x = generator.uniform(-1, 1, (count, 2))
        s, t = _turned(x)
        return x, self._points(count, generator) + np.stack([-np.abs(s), t], -1)

    def well_known(self, parameters):
        reach = 3 * self.radius
        inside = np.all(np.abs(parameters) < 1 - reach, -1)
        return inside & (np.abs(_turned(parameters)[0]) > reach)

    def posterior(self, observations, generator):
        p = self._points(len(observations), generator)
        sign = generator.choice([-1, 1], len(observations))
        s, t = sign * (p[:, 0] - observations[:, 0]), observations[:, 1] - p[:, 1]
        return np.stack([s - t, s + t], -1) / np.sqrt(2)

    def log_posterior(self, parameters, observations):
        s, t = _turned(parameters)
        p = observations - np.stack([-np.abs(s), t], -1) - self.center
        radius = np.hypot(*p.T)
        squares = ((radius - self.radius) / self.deviation) ** 2
        log_density = -0.5 * squares - np.log(np.sqrt(2 * np.pi) * self.deviation * np.pi * radius)
        return np.where(p[:, 0] > 0, log_density, -np.inf) - np.log(2)

    def _points(self, count, generator):
        angle = generator.uniform(-np.pi / 2, np.pi / 2, count)
        radius = generator.normal(self.radius, self.deviation, count)
        return self.center + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def _turned(x) -> tuple[np.ndarray, np.ndarray]:
    return (x[:, 0] + x[:, 1]) / np.sqrt(2), (x[:, 1] - x[:, 0]) / np.sqrt(2)


SIMULATORS = {"Gaussian": Gaussian, "two moons": TwoMoons}
