"""Pictures: their sizes, labels and files."""

import sys

import matplotlib.image
import numpy as np
import pytest

from tfp_glow.app import plots
from tfp_glow.app.confusion_plot import plot_confusions

GREY = np.random.default_rng(0).integers(0, 17, [24, 8, 8, 1])
COLOR = np.random.default_rng(1).integers(0, 256, [24, 40, 30, 3]).astype("uint8")


def pixels(figure, path):
    plots.save_figure(figure, path)
    return matplotlib.image.imread(path)[..., :3]


def test_a_grid_shows_every_pixel_of_every_image(tmp_path):
    picture = pixels(plots.image_grid([GREY[:3], GREY[3:6]], num_bins=17), tmp_path / "grid.png")
    tile, step, start = plots.TILE, plots.TILE + plots.GAP, plots.MARGIN + plots.GAP // 2
    assert picture.shape == (2 * step + 2 * plots.MARGIN, 3 * step + 2 * plots.MARGIN, 3)
    shown = picture[start + step : start + step + tile, start : start + tile]
    expected = np.kron(GREY[3, :, :, 0] / 16, np.ones([8, 8]))
    np.testing.assert_allclose(shown, expected[..., None].repeat(3, -1), atol=0.01)


def test_color_images_keep_their_colors(tmp_path):
    picture = pixels(plots.image_grid([COLOR[:1]], num_bins=256), tmp_path / "color.png")
    start = plots.MARGIN + plots.GAP // 2
    shown = picture[start : start + 40, start : start + 30]
    np.testing.assert_allclose(shown, COLOR[0] / 255, atol=0.01)


def test_a_short_row_ends_in_white(tmp_path):
    picture = pixels(plots.image_grid([GREY[:3], GREY[3:4]], num_bins=17), tmp_path / "short.png")
    assert (picture[-plots.TILE :, -plots.TILE :] == 1.0).all()


def test_samples_have_a_row_a_temperature():
    figure = plots.plot_samples({0.0: GREY[:6], 0.7: GREY[6:12]}, num_bins=17)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["T = 0", "T = 0.7"]


@pytest.mark.parametrize(("changed", "title"), [(0, "0.00%"), (64, "4.17%")])
def test_reconstructions_tell_how_many_values_differ(changed, title):
    decoded = GREY.copy()
    decoded.reshape(-1)[:changed] += 1
    figure = plots.plot_reconstructions(GREY, decoded, num_bins=17)
    assert title in figure.axes[0].get_title(loc="left")


def test_reconstructions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"decoded must have the shape of images, \(24, 8, 8, 1\)"):
        plots.plot_reconstructions(GREY, GREY[:5], num_bins=17)


def test_interpolations_have_a_row_a_path(tmp_path):
    figure = plots.plot_interpolation(COLOR.reshape(4, 6, 40, 30, 3), num_bins=256)
    rows, columns = figure.axes[0].get_images()[0].get_array().shape[:2]
    assert (rows, columns) == (4 * (40 + plots.GAP), 6 * (30 + plots.GAP))


def test_curves_run_over_epochs():
    figure = plots.plot_curves({"bits_per_dim": [3.0, 2.5], "val_bits_per_dim": [3.1, 2.75]})
    lines = figure.axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines] == [[1, 2], [1, 2]]
    assert "2.750" in lines[1].get_label()


def test_several_metrics_stand_side_by_side():
    history = {name: [0.5, 0.75] for name in ("loss", "val_loss", "accuracy", "val_accuracy")}
    figure = plots.plot_curves(history, {"loss": "Cross-entropy", "accuracy": "Accuracy"})
    left, right = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Cross-entropy", "Accuracy"]
    assert left.get_position().x1 < right.get_position().x0


def test_confusions_tell_what_is_right():
    figure = plot_confusions([[8, 2], [0, 10]])
    assert figure.axes[0].get_title(loc="left") == "90.00% of 20 test images are right"
    assert [text.get_text() for text in figure.axes[0].texts] == ["8", "2", "10"]
    (right, wrong), (none, _) = figure.axes[0].get_images()[0].get_array()
    assert right[2] > right[0]
    assert wrong[0] > wrong[2]
    assert (none == 1.0).all()


def test_confusions_of_many_classes_have_no_numbers():
    assert not plot_confusions(np.eye(50, dtype=int)).axes[0].texts


@pytest.mark.parametrize("counts", [np.zeros([2, 2]), np.ones([2, 3]), np.ones([2])])
def test_other_confusions_are_refused(counts):
    with pytest.raises(ValueError, match=r"counts must be \[classes, classes\], not all 0"):
        plot_confusions(counts)


@pytest.mark.parametrize("images", [GREY[0], GREY[:0], GREY.repeat(2, -1)])
def test_other_shapes_are_refused(images):
    with pytest.raises(ValueError, match=r"images must be \[N, H, W, C\].*Received: shape"):
        plots.image_grid([images], num_bins=17)


def test_labels_must_be_one_a_row():
    with pytest.raises(ValueError, match="row_labels must be 2, one a row"):
        plots.image_grid([GREY, GREY], num_bins=17, row_labels=["one"])


def test_likelihoods_are_drawn_with_their_means():
    figure = plots.plot_likelihoods({"test": [1.0, 2.0, 3.0], "other": [4.0, 5.0]})
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["test: 2.000 on average", "other: 4.500 on average"]


def test_a_failed_save_leaves_nothing(tmp_path):
    figure = plots.image_grid([GREY], num_bins=17)
    with pytest.raises(ValueError, match="not supported"):
        plots.save_figure(figure, tmp_path / "picture.nonsense")
    assert not list(tmp_path.iterdir())


def test_a_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"tfp-glow\[train\]"):
        plots.image_grid([GREY], num_bins=17)
