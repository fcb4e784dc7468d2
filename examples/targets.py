"""Distributions in the plane on which flows are looked at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["TARGETS"]


def two_moons(count: int, generator: np.random.Generator) -> np.ndarray:
    """Two half circles that reach into each other."""
    angle, upper = np.pi * generator.random(count), generator.random(count) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    points = np.stack([x - 0.5, y - 0.25], -1) + 0.08 * generator.standard_normal((count, 2))
    return 2.0 * points


def checkerboard(count: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform on every other square of a board of four by four."""
    column, row = generator.integers(4, size=count), 2 * generator.integers(2, size=count)
    square = np.stack([column, row + column % 2], -1)
    return 1.5 * (square - 2 + generator.random((count, 2)))


def rings(count: int, generator: np.random.Generator) -> np.ndarray:
    """Four circles about the origin."""
    radius = 0.75 * (1 + generator.integers(4, size=count)) + 0.06 * generator.standard_normal(
        count
    )
    angle = 2 * np.pi * generator.random(count)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def eight_gaussians(count: int, generator: np.random.Generator) -> np.ndarray:
    """Eight normals around a circle."""
    angle = np.pi / 4 * generator.integers(8, size=count)
    centers = 2.5 * np.stack([np.cos(angle), np.sin(angle)], -1)
    return centers + 0.25 * generator.standard_normal((count, 2))


TARGETS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "two moons": two_moons,
    "checkerboard": checkerboard,
    "rings": rings,
    "eight Gaussians": eight_gaussians,
}
