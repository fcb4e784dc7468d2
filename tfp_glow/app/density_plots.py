"""Pictures of densities and maps in the plane, as matplotlib `Figure`s like those of `plots`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfp_glow.app.plots import DPI, require_matplotlib

__all__ = ["density_grid", "scatter_pair"]


def density_grid(
    rows: Sequence[Sequence[np.ndarray]],
    *,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    captions: Sequence[Sequence[str]],
):
    """Densities in the plane, each as bright as its own largest value allows.

    Args:
      rows: For each row its densities `[H, W]`, from the lowest line up.
      row_labels: A label a row.
      column_labels: A label a column.
      captions: A text below each density.

    Returns:
      A matplotlib `Figure`.

    Raises:
      ValueError: If there are not as many labels and captions as rows and densities.
    """
    columns = len(column_labels)
    if len(row_labels) != len(rows) or len(captions) != len(rows):
        raise ValueError(
            f"row_labels and captions must be one a row, {len(rows)}. "
            f"Received: {len(row_labels)} and {len(captions)}."
        )
    if any(len(row) != columns for row in (*rows, *captions)):
        raise ValueError(f"rows and captions must hold {columns} entries, one a column label.")
    figure = require_matplotlib().Figure(
        figsize=(1.7 * columns + 0.4, 1.9 * len(rows) + 0.3), dpi=DPI, layout="constrained"
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, row, label, texts in zip(grid, rows, row_labels, captions, strict=True):
        axes_row[0].set_ylabel(label, fontsize=12)
        for axes, density, text in zip(axes_row, row, texts, strict=True):
            # The square root shows the tails beside narrow peaks.
            axes.imshow(np.sqrt(density), origin="lower", cmap="viridis")
            axes.set_xlabel(text, fontsize=9)
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, label in zip(grid[0], column_labels, strict=True):
        axes.set_title(label, fontsize=12)
    return figure


def scatter_pair(x, z, *, titles: tuple[str, str], colors):
    """Points of the plane and what they are mapped to, in the same colors.

    Args:
      x: Points `[N, 2]`.
      z: Their images `[N, 2]`.
      titles: Headings of the two.
      colors: A number a point.

    Returns:
      A matplotlib `Figure`.

    Raises:
      ValueError: If the points are not as many as their images, or not in the plane.
    """
    x, z = np.asarray(x), np.asarray(z)
    if x.ndim != 2 or x.shape[1] != 2 or x.shape != z.shape:
        raise ValueError(f"x and z must be [N, 2]. Received: {x.shape} and {z.shape}.")
    figure = require_matplotlib().Figure(figsize=(8, 4.2), dpi=DPI, layout="constrained")
    for axes, points, title in zip(figure.subplots(1, 2), (x, z), titles, strict=True):
        axes.scatter(*points.T, c=colors, cmap="twilight", s=3)
        axes.set_title(title, fontsize=12)
        axes.set_aspect("equal")
    return figure
