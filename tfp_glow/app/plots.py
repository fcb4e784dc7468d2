"""Pictures of images, samples and learning curves.

Images are integers 0 .. num_bins - 1, grey or RGB. Every function returns a matplotlib `Figure`
that belongs to no window and no global state; `save_figure` writes it.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfp_glow.files import replacing

__all__ = [
    "image_grid",
    "plot_curves",
    "plot_interpolation",
    "plot_likelihoods",
    "plot_manipulation",
    "plot_neighbors",
    "plot_reconstructions",
    "plot_samples",
    "require_matplotlib",
    "save_figure",
]

DPI = 100
TILE = 64  # Pixels that a small image is enlarged to, in whole multiples.
GAP = 4
MARGIN = 12


def image_grid(
    rows: Sequence,
    *,
    num_bins: int,
    row_labels: Sequence[str] = (),
    title: str | None = None,
):
    """A grid of images, each of their pixels a whole number of the picture's.

    Args:
      rows: For each row its images, integers `[N, H, W, C]` with 1 or 3 channels.
      num_bins: Number of integer values; num_bins - 1 is white.
      row_labels: A label a row, or none.
      title: Heading.

    Returns:
      A matplotlib `Figure`.

    Raises:
      ValueError: If the images have another shape or are none, or the labels not one a row.
      ImportError: If matplotlib is missing.

    Example:

        figure = image_grid([digits[:8], digits[8:16]], num_bins=17, title="Digits")
        save_figure(figure, "digits.png")
    """
    mosaic = _mosaic([_tiles(row, num_bins) for row in rows])
    if row_labels and len(row_labels) != len(rows):
        raise ValueError(
            f"row_labels must be {len(rows)}, one a row. Received: {list(row_labels)}."
        )
    left = 24 + 9 * max(map(len, row_labels)) if row_labels else MARGIN
    figure, (axes,) = _canvas(mosaic.shape, left=left, top=40 if title else MARGIN)
    axes.imshow(mosaic, interpolation="nearest")
    axes.spines[:].set_visible(False)
    height = mosaic.shape[0] / len(rows)
    centers = (np.arange(len(row_labels)) + 0.5) * height - 0.5
    axes.set_yticks(centers, row_labels, fontsize=11)
    axes.set_xticks([])
    axes.tick_params(length=0)
    if title:
        axes.set_title(title, fontsize=13, loc="left", pad=10)
    return figure


def plot_samples(samples: Mapping[float, np.ndarray], *, num_bins: int):
    """Samples at several temperatures, a row each.

    Args:
      samples: Images `[N, H, W, C]` by temperature, as many for each.
      num_bins: Number of integer values.

    Example:

        samples = {t: distribution.sample(8, temperature=t, seed=1) for t in (0.5, 0.7, 1.0)}
        figure = plot_samples(samples, num_bins=256)
    """
    return image_grid(
        list(samples.values()),
        num_bins=num_bins,
        row_labels=[f"T = {temperature:g}" for temperature in samples],
        title="Samples by temperature",
    )


def plot_reconstructions(images, decoded, *, num_bins: int, path: str = "decode(encode(x))"):
    """Images above what a network decodes from what it made of them.

    Args:
      images: Integers `[N, H, W, C]`.
      decoded: As many images.
      num_bins: Number of integer values.
      path: How they were decoded.

    Raises:
      ValueError: If the two have other shapes.
    """
    images, decoded = np.asarray(images), np.asarray(decoded)
    if images.shape != decoded.shape:
        raise ValueError(
            f"decoded must have the shape of images, {images.shape}. Received: {decoded.shape}."
        )
    wrong = np.count_nonzero(images != decoded) / max(images.size, 1)
    return image_grid(
        [images, decoded],
        num_bins=num_bins,
        row_labels=["x", "decoded"],
        title=f"Test images x above {path}: {wrong:.2%} of the values differ",
    )


def plot_neighbors(samples, nearest, *, num_bins: int):
    """Samples above the training images that are closest to them, by which copies show.

    Args:
      samples: Integers `[N, H, W, C]`.
      nearest: As many images.
      num_bins: Number of integer values.
    """
    difference = np.asarray(samples, np.float64) - nearest
    typical = np.sqrt(np.mean(difference**2)) / max(num_bins - 1, 1)
    return image_grid(
        [samples, nearest],
        num_bins=num_bins,
        row_labels=["sample", "nearest"],
        title=f"Samples above the nearest training images: {typical:.0%} of white apart",
    )


def plot_likelihoods(bits: Mapping[str, Sequence[float]]):
    """Histograms of images' bits per dimension.

    Args:
      bits: Values of the images of each data set, by its name.

    Example:

        figure = plot_likelihoods({"test": bits_per_dim_of(distribution, data.test)})
    """
    figure, (axes,) = _canvas((380, 640), left=70, top=40, bottom=52, right=30)
    values = np.concatenate(list(bits.values()))
    span = np.quantile(values, [0.002, 0.998])
    for name, own in bits.items():
        label = f"{name}: {np.mean(own):.3f} on average"
        axes.hist(own, 40, span, density=True, histtype="step", lw=1.5, label=label)
    axes.set_title("Bits per dimension of images", fontsize=13, loc="left", pad=10)
    axes.set_xlabel("bits per dimension")
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def plot_interpolation(frames, *, num_bins: int):
    """Paths between images, a row each.

    Args:
      frames: Integers `[paths, steps, H, W, C]`.
      num_bins: Number of integer values.
    """
    return image_grid(
        frames,
        num_bins=num_bins,
        title="Straight lines between the latents of two test images",
    )


def plot_manipulation(images, strengths: Sequence[float], *, num_bins: int):
    """Images with an attribute at several strengths, a row for each strength.

    Args:
      images: Integers `[N, strengths, H, W, C]`.
      strengths: The strengths.
      num_bins: Number of integer values.
    """
    return image_grid(
        np.moveaxis(np.asarray(images), 1, 0),
        num_bins=num_bins,
        row_labels=[f"{strength:+g}" for strength in strengths],
        title="Test images by the strength of an attribute",
    )


def plot_curves(history: Mapping[str, Sequence[float]], headings: Mapping[str, str] | None = None):
    """Metrics of training and validation over epochs, side by side.

    Args:
      history: For each metric NAME a value an epoch, under NAME and `val_NAME`.
      headings: What stands above the metrics, by name; of `bits_per_dim` alone when omitted.

    Example:

        figure = plot_curves(model.fit(images, validation_data=others, epochs=9).history)
    """
    headings = headings or {"bits_per_dim": "Bits per dimension"}
    figure, panels = _canvas((380, 640), len(headings), left=70, top=40, bottom=52, right=30)
    for axes, (metric, heading) in zip(panels, headings.items(), strict=True):
        _plot_metric(axes, history[metric], history[f"val_{metric}"], heading)
    return figure


def _plot_metric(axes, training: Sequence[float], validation: Sequence[float], heading: str):
    for name, values, color in (
        ("training", list(training), "tab:blue"),
        ("validation", list(validation), "tab:orange"),
    ):
        epochs = np.arange(1, len(values) + 1)
        label = f"{name}: {values[-1]:.3f} at the end" if values else name
        axes.plot(epochs, values, color=color, label=label, marker="o", markersize=3)
    axes.set_title(heading, fontsize=13, loc="left", pad=10)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def save_figure(figure, path: str | os.PathLike) -> None:
    """Writes a figure, whole or not at all, in the format of the name's suffix."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format=pathlib.Path(path).suffix.lstrip(".") or "png")


def require_matplotlib():
    """Imports `matplotlib.figure`, which only pictures need.

    Raises:
      ImportError: If matplotlib is missing.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise ImportError(
            'Pictures need matplotlib. Install it with: pip install "tfp-glow[train]"'
        ) from error
    return figure


def _tiles(images, num_bins: int) -> np.ndarray:
    """Images as RGB in [0, 1], the small ones enlarged."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(
            f"images must be [N, H, W, C] with 1 or 3 channels. Received: shape {images.shape}."
        )
    enlarged = max(1, TILE // max(images.shape[1:3]))
    images = images.repeat(enlarged, 1).repeat(enlarged, 2) / max(num_bins - 1, 1)
    return np.broadcast_to(np.clip(images, 0.0, 1.0), (*images.shape[:3], 3))


def _mosaic(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of tiles on white, half a gap around each tile, as large as the largest one."""
    columns, half = max(map(len, rows)), GAP // 2
    sides = np.max([tiles.shape[1:3] for tiles in rows], 0)

    def strip(tiles):
        lengths = [columns - len(tiles), *(sides - tiles.shape[1:3] + half)]
        padding = [(0, lengths[0]), (half, lengths[1]), (half, lengths[2]), (0, 0)]
        return np.concatenate(np.pad(tiles, padding, constant_values=1.0), axis=1)

    return np.concatenate([strip(tiles) for tiles in rows])


def _canvas(
    shape, count: int = 1, *, left: int, top: int, right: int = MARGIN, bottom: int = MARGIN
):
    """A figure with axes in a row that are each `shape` pixels large, with margins in pixels."""
    inner_height, inner_width = shape[:2]
    step = left + inner_width + right
    width, height = count * step, top + inner_height + bottom
    figure = require_matplotlib().Figure(
        figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white"
    )
    lefts = [(index * step + left) / width for index in range(count)]
    below, size = bottom / height, (inner_width / width, inner_height / height)
    return figure, [figure.add_axes((x, below, *size)) for x in lefts]
