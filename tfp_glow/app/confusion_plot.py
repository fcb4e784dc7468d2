"""Which classes a classifier takes for which, as a matplotlib `Figure` like those of `plots`."""

from __future__ import annotations

import numpy as np

from tfp_glow.app.plots import DPI, require_matplotlib

__all__ = ["plot_confusions"]

NUMBERED = 20  # Classes up to which each number is written.


def plot_confusions(counts):
    """What is right in blue and what is wrong in red, as dark as its share of the class.

    Args:
      counts: How many images of each class, a row, were taken for each class, a column.

    Returns:
      A matplotlib `Figure`.

    Raises:
      ValueError: If there is not a row and a column a class, or nothing was counted.

    Example:

        figure = plot_confusions([[8, 2], [0, 9]])
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.sum():
        raise ValueError(f"counts must be [classes, classes], not all 0. Received: {counts!r}.")
    figure = require_matplotlib().Figure(figsize=(6.4, 6.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(_colors(counts), interpolation="nearest")
    right = counts.trace() / counts.sum()
    axes.set_title(f"{right:.2%} of {counts.sum():,} test images are right", loc="left")
    axes.set_xlabel("taken for class")
    axes.set_ylabel("class")
    axes.spines[:].set_color("0.8")
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True, steps=[1, 2, 5, 10])
    if len(counts) <= NUMBERED:
        _write_numbers(axes, counts)
    return figure


def _colors(counts: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    # The square root shows single mistakes, too.
    right, wrong = colormaps["Blues"](share)[..., :3], colormaps["Reds"](np.sqrt(share))[..., :3]
    colors = np.where(np.eye(len(counts), dtype=bool)[..., None], right, wrong)
    return np.where(counts[..., None] > 0, colors, 1.0)


def _write_numbers(axes, counts: np.ndarray) -> None:
    size = min(11, 160 / len(counts))
    axes.set_xticks(range(len(counts)))
    axes.set_yticks(range(len(counts)))
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = 2 * count > counts[row].sum()
            axes.text(
                column,
                row,
                f"{count}",
                ha="center",
                va="center",
                fontsize=size,
                color="white" if dark else "black",
            )
