"""`tfp-glow train --task vae`, on a tiny autoencoder and tiny images."""

import pathlib
import re

import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf

from tests.command_line import Killed, check_equal_runs, check_error, dying, history, invoke
from tfp_glow.app.autoencoders import POSTERIORS
from tfp_glow.app.settings import Settings
from tfp_glow.app.trained import load_trained
from tfp_glow.app.vae_task import Autoencode

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

BATCHES = 3
TINY = ("--task", "vae", "--batch-size", 32, "--latents", 2, "--hidden-units", 8)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> pathlib.Path:
    """100 training images, in three batches once validation images are taken, and 20 for test."""
    random = np.random.default_rng(0)
    brightness = random.integers(0, 200, [120, 1, 1, 1])
    images = (brightness + random.integers(0, 56, [120, 4, 4, 1])).astype("uint8")
    path = tmp_path_factory.mktemp("data") / "grey.npz"
    np.savez(path, x_train=images[:100], x_test=images[100:])
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run of Bernoulli pixels and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    flows = ("--num-bits", 1, "--posterior", "gaussian", "--warmup-steps", 2)
    command = ("train", "--data", data, *TINY, *flows, "--epochs", 3, "--output", folder)
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    return folder, result


def test_train_writes_its_files_and_learns(trained):
    folder, result = trained
    names = {path.name for path in folder.iterdir()}
    files = {"config.json", "history.csv", "saved_model", "tensorboard", "best.keras"}
    pictures = {"curves.png", "samples.png", "reconstructions.png"}
    assert names == files | pictures | {"model.keras"}
    assert result.stdout.startswith("Training gaussian (")
    assert re.search(r"Test images: [\d.]+ nats, minus the bound\. The model", result.stdout)
    for name in pictures:
        assert matplotlib.image.imread(folder / name)[..., :3].std() > 0.05
    rows = history(folder)
    assert {"nats", "kl", "reconstruction", "val_nats"} <= set(rows[0])
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])


def test_evaluate_repeats_what_training_found(trained):
    result = invoke("evaluate", trained[0])
    assert result.exit_code == 0, result.output
    found, importance, *_ = result.stdout.splitlines()
    assert found in trained[1].stdout
    assert re.fullmatch(r"-log p\(x\) of the first 20 by 1000 .*: [\d.]+ nats", importance)
    check_error(invoke("evaluate", trained[0], "--data", "digits"), "of shape (4, 4, 1), pixels")
    output = invoke("evaluate", trained[0], "--output", "a.png")
    check_error(output, "output means nothing to the task 'vae'. Received: 'a.png'")
    check_error(invoke("sample", trained[0]), "run must hold a flow", "holds an autoencoder")


def test_the_exported_model_is_the_saved_one(trained, data):
    model = load_trained(trained[0], "vae").model
    images = (np.load(data)["x_test"] > 127).astype("int32")
    signatures = tf.saved_model.load(str(trained[0] / "saved_model")).signatures
    z = signatures["encode"](x=tf.constant(images))["z"]
    np.testing.assert_allclose(z, model.encode(images), atol=1e-5)
    np.testing.assert_allclose(signatures["decode"](z=z)["x"], model.decode(z), atol=1e-5)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["--prior", "glow"], ["prior must be one of", "'glow'"]),
        (["--posterior", "glow"], ["posterior must be one of", "'glow'"]),
        (["--latents", 0], ["latents must be at least 1"]),
        (["--steps", 2], ["steps means nothing to the posterior 'iaf'"]),
        (["--flow", "glow"], ["flow means nothing to the task 'vae'"]),
        (["--conditional"], ["conditional means nothing to the posterior"]),
    ],
)
def test_bad_settings_are_one_line_and_write_nothing(data, tmp_path, given, parts):
    folder = tmp_path / "run"
    command = ("train", "--data", data, *TINY, "--output", folder)
    check_error(invoke(*command, *given), *parts)
    assert not folder.exists()


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_every_posterior_can_be_chosen(posterior):
    settings = Settings(task="vae", posterior=posterior, latents=4)
    model = settings.build((4, 4, 1), None, num_bins=16)
    assert model.bound(np.zeros([2, 4, 4, 1], int)).shape == (2,)


def test_a_resumed_run_is_the_one_that_was_never_stopped(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Autoencode, "draw", lambda *args, **kwargs: None)
    monkeypatch.setattr(Autoencode, "export", lambda _, model, path: path.mkdir())
    dies = dying(monkeypatch)
    command = ("train", "--data", data, *TINY, "--posterior", "gaussian", "--epochs", 3, "--output")
    assert invoke(*command, tmp_path / "whole").exit_code == 0
    dies(BATCHES + 2)
    with pytest.raises(Killed):
        invoke(*command, tmp_path / "pieces")
    dies(None)
    result = invoke("train", "--output", tmp_path / "pieces", "--resume")
    assert "from epoch 2 of 3" in result.stdout
    check_equal_runs(tmp_path / "whole", tmp_path / "pieces", steps=3 * BATCHES)
