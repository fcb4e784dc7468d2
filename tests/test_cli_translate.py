"""The command that maps images of one domain to the other."""

import matplotlib.image
import numpy as np
import pytest

import tfp_glow as tg
from tests.command_line import check_error, invoke
from tests.helpers import randomize

IMAGES = np.random.default_rng(0).integers(0, 256, [9, 4, 4, 1]).astype("uint8")


def side(shape: tuple, num_bins: int) -> tg.Dequantized:
    flow = tg.flows.glow(shape, levels=1, steps=1, hidden_channels=4, seed=0)
    randomize(flow)
    return tg.Dequantized(flow, num_bins=num_bins)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained map of 4x4 images of 16 values to 2x2 images of 256, and a file of images."""
    folder = tmp_path_factory.mktemp("translate")
    sides = side((4, 4, 1), 16), side((2, 2, 1), 256)
    tg.DomainMapModel(tg.DomainMap(*sides), seed=0).save(folder / "map.keras")
    tg.FlowModel(sides[0]).save(folder / "flow.keras")
    np.savez(folder / "x.npz", x_train=IMAGES, x_test=IMAGES[:5])
    np.savez(folder / "y.npz", x_train=IMAGES[:, :2, :2], x_test=IMAGES[:5, :2, :2])
    return folder


@pytest.mark.slow
def test_images_are_mapped_there_and_back(folder):
    options = ("--data", folder / "x.npz", "--num", 3, "--output", folder / "there.npz")
    result = invoke("translate", folder / "map.keras", *options)
    assert result.exit_code == 0, result.output
    found = np.load(folder / "there.npz")
    np.testing.assert_array_equal(found["images"], IMAGES[:3] // 16)
    assert found["translated"].shape == (3, 2, 2, 1)
    picture = folder / "back.png"
    options = ("--back", "--data", folder / "y.npz", "--output", picture)
    assert invoke("translate", folder / "map.keras", *options).exit_code == 0
    assert matplotlib.image.imread(picture).shape[1] > 5 * 64


def test_what_cannot_be_translated_is_named(folder):
    def translate(model, data):
        return invoke("translate", folder / model, "--data", folder / data)

    check_error(translate("none.keras", "x.npz"), "model must be a .keras file", "none.keras")
    check_error(translate("flow.keras", "x.npz"), "model must hold a DomainMapModel of two flows")
    check_error(translate("map.keras", "y.npz"), "data must have images of shape (4, 4, 1)")
    check_error(translate("map.keras", "z.npz"), "source must be", "z.npz")
