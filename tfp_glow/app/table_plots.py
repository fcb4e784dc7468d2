"""Pictures of tables, as matplotlib `Figure`s like those of `plots`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfp_glow.app.plots import DPI, require_matplotlib

__all__ = ["calibration_plot", "pair_plot"]

MOST_COLUMNS, MOST_PANELS = 6, 30
DATA, SAMPLES = "tab:blue", "tab:orange"


def pair_plot(data, samples, names: Sequence[str]):
    """Rows of data above the diagonal, samples below it, and both columns' histograms on it.

    Of more columns than six the first six are drawn.

    Args:
      data: Rows `[N, columns]`.
      samples: Rows `[M, columns]`.
      names: The columns' names.

    Returns:
      A matplotlib `Figure`.

    Raises:
      ValueError: If the rows have other columns than there are names.
    """
    data, samples = np.asarray(data), np.asarray(samples)
    if not data.ndim == samples.ndim == 2 or {data.shape[1], samples.shape[1]} != {len(names)}:
        raise ValueError(
            f"data and samples must be [rows, {len(names)}], as names. "
            f"Received: {data.shape} and {samples.shape}."
        )
    count = min(len(names), MOST_COLUMNS)
    side = 1.6 * count + 0.6
    figure = require_matplotlib().Figure(figsize=(side, side), dpi=DPI, layout="constrained")
    grid = figure.subplots(count, count, squeeze=False)
    # Beyond these lie one in a hundred values at each end, which would shrink all else.
    low, high = np.quantile(data, [0.005, 0.995], axis=0)
    margin = 0.1 * (high - low)
    for row, column in np.ndindex(count, count):
        axes = grid[row, column]
        axes.set_xlim(low[column] - margin[column], high[column] + margin[column])
        if row == column:
            _histograms(axes, data[:, row], samples[:, row])
        else:
            axes.set_ylim(low[row] - margin[row], high[row] + margin[row])
            points, color = (data, DATA) if column > row else (samples, SAMPLES)
            axes.scatter(points[:, column], points[:, row], s=2, color=color, alpha=0.4, lw=0)
        axes.set_xticks([])
        axes.set_yticks([])
    for index in range(count):
        grid[-1, index].set_xlabel(names[index], fontsize=8)
        grid[index, 0].set_ylabel(names[index], fontsize=8)
    figure.suptitle("Test rows (blue, above) and samples (orange, below)", fontsize=11)
    return figure


def calibration_plot(uniforms, names: Sequence[str]):
    """Histograms of what is uniform under the flow, one a latent, with what chance allows.

    Args:
      uniforms: Values `[N, latents]` in [0, 1].
      names: Headings of the latents, of which the first thirty are drawn.

    Returns:
      A matplotlib `Figure`.
    """
    uniforms = np.asarray(uniforms)
    count, bins = min(len(names), MOST_PANELS), 10
    columns = min(count, 5)
    rows = -(-count // columns)
    figure = require_matplotlib().Figure(
        figsize=(2 * columns + 0.4, 1.6 * rows + 0.6), dpi=DPI, layout="constrained"
    )
    expected = len(uniforms) / bins
    spread = 2 * np.sqrt(expected * (1 - 1 / bins))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name, values in zip(panels[:count], names, uniforms.T, strict=False):
        axes.axhspan(expected - spread, expected + spread, color="0.9")
        axes.hist(values, bins=bins, range=(0, 1), color=DATA, histtype="step", lw=1.5)
        axes.set_title(name, fontsize=8)
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
    for axes in panels[count:]:
        axes.set_visible(False)
    figure.suptitle("Test rows: F(z) by latent; uniform, and grey what chance allows", fontsize=11)
    return figure


def _histograms(axes, data: np.ndarray, samples: np.ndarray) -> None:
    span = axes.get_xlim()
    for values, color in ((data, DATA), (samples, SAMPLES)):
        axes.hist(values, bins=24, range=span, density=True, histtype="step", color=color)
