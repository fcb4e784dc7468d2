"""`tfp-glow train --task classify`, on tiny classifiers and tiny images."""

import json
import pathlib
import shutil

import keras
import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf

from tests.command_line import Killed, check_equal_runs, check_error, dying, history, invoke
from tfp_glow.app import classification
from tfp_glow.app.architectures import CLASSIFIERS
from tfp_glow.app.classify_task import Classify
from tfp_glow.app.errors import UserError
from tfp_glow.app.settings import Settings
from tfp_glow.app.trained import load_trained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

BATCHES = 3
CLASSIFY = ("--task", "classify", "--batch-size", 32)
TINY = {
    "revnet": ("--units", 2, "--filters", 4, "--filters", 4),
    "irevnet": ("--units", 1, "--strides", 2, "--added-channels", 1),
    "revvit": ("--patch-size", 4, "--depth", 1, "--width", 8, "--heads", 2, "--dropout", 0.1),
}


def options(model: str) -> tuple:
    return (*CLASSIFY, "--model", model, *TINY[model])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> pathlib.Path:
    """100 training images, in three batches once validation images are taken, and 20 for test.

    The class is the color that is brightest.
    """
    random = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = random.integers(0, 100, [120, 4, 4, 3]).astype("uint8")
    images[np.arange(120), :, :, labels] += 100
    path = tmp_path_factory.mktemp("data") / "colors.npz"
    splits = {"x_train": images[:100], "x_test": images[100:]}
    np.savez(path, y_train=labels[:100], y_test=labels[100:], **splits)
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run of a ViT and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    command = ("train", "--data", data, *options("revvit"), "--epochs", 6, "--output", folder)
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    return folder, result


def test_train_writes_its_files(trained):
    folder, result = trained
    names = {path.name for path in folder.iterdir()}
    files = {"config.json", "history.csv", "saved_model", "tensorboard"}
    assert names == files | {"best.keras", "model.keras", "curves.png", "confusion.png"}
    assert result.stdout.startswith("Training revvit (")
    assert f"% right. The model and its pictures are in {folder}." in result.stdout
    assert json.loads((folder / "config.json").read_text())["settings"]["task"] == "classify"


@pytest.mark.parametrize("name", ["curves.png", "confusion.png"])
def test_train_draws_pictures(trained, name):
    picture = matplotlib.image.imread(trained[0] / name)
    assert min(picture.shape[:2]) > 100
    assert picture[..., :3].std() > 0.05


def test_train_logs_loss_and_accuracy_and_learns(trained):
    rows = history(trained[0])
    assert [row["epoch"] for row in rows] == list("012345")
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(rows[0])
    assert float(rows[-1]["val_loss"]) < 0.7 * float(rows[0]["val_loss"])
    assert float(rows[-1]["accuracy"]) > 0.7


def test_evaluate_repeats_what_training_found(trained, data):
    folder, training = trained
    result = invoke("evaluate", folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() in training.stdout
    model, arrays = load_trained(folder).model, np.load(data)
    right = np.mean(model(arrays["x_test"]).numpy().argmax(-1) == arrays["y_test"])
    assert result.stdout == f"Test images: {right:.2%} right\n"
    of_file = invoke("evaluate", shutil.copy(folder / "best.keras", folder.parent), "--data", data)
    assert of_file.stdout == result.stdout


def test_evaluate_needs_data_that_fit(trained):
    check_error(
        invoke("evaluate", trained[0], "--data", "digits"),
        "images of shape (4, 4, 3), pixels of 256 values and 3 classes. Received: 'digits' with",
    )


@pytest.mark.parametrize("command", ["sample", "interpolate"])
def test_what_needs_a_flow_refuses_a_classifier(trained, command, tmp_path):
    result = invoke(command, trained[0], "--output", tmp_path / "picture.png")
    check_error(result, "run must hold a flow", str(trained[0]), "which holds a classifier")
    assert not list(tmp_path.iterdir())


def test_the_exported_model_is_the_saved_one(trained, data):
    model, images = load_trained(trained[0]).model, np.load(data)["x_test"].astype("int32")
    signatures = tf.saved_model.load(str(trained[0] / "saved_model")).signatures
    assert set(signatures) == {"classify", "serving_default"}
    found = signatures["classify"](x=tf.constant(images))
    np.testing.assert_allclose(found["logits"], model(images), atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], tf.nn.softmax(model(images)), atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[batch, 4, 4, 3\]"):
        signatures["classify"](x=tf.constant(images[..., :1]))


def test_export(trained, tmp_path):
    assert invoke("export", trained[0], tmp_path / "model").exit_code == 0
    assert set(tf.saved_model.load(str(tmp_path / "model")).signatures) == {
        "classify",
        "serving_default",
    }
    check_error(invoke("export", trained[0], tmp_path / "model"), "path must not exist yet")


def test_resuming_a_finished_run_only_draws_again(trained, tmp_path):
    copy = shutil.copytree(trained[0], tmp_path / "copy")
    (copy / "confusion.png").unlink()
    result = invoke("train", "--output", copy, "--resume", *CLASSIFY)
    assert result.exit_code == 0, result.output
    assert (copy / "confusion.png").exists()
    assert (copy / "model.keras").read_bytes() == (trained[0] / "model.keras").read_bytes()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (["--task", "density"], ["task", "cannot change from 'classify'", "'density'"]),
        (["--model", "revnet"], ["model", "cannot change from 'revvit'", "'revnet'"]),
        (["--dropout", 0.2], ["dropout", "cannot change from 0.1", "0.2"]),
    ],
)
def test_resume_refuses_other_settings(trained, changes, parts):
    check_error(invoke("train", "--output", trained[0], "--resume", *changes), *parts)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["--task", "sort"], ["task must be one of", "'sort'"]),
        (["--model", "revnet"], ["model means nothing to the task 'density'", "'revnet'"]),
        (["--depth", 3], ["depth means nothing to the flow 'glow'. Received: 3"]),
        ([*CLASSIFY, "--model", "resnet"], ["model must be one of", "'resnet'"]),
        ([*CLASSIFY, "--flow", "glow"], ["flow means nothing to the task 'classify'", "'glow'"]),
        ([*CLASSIFY, "--levels", 2], ["levels means nothing to the model 'revnet'. Received: 2"]),
        ([*CLASSIFY, "--depth", 2], ["depth means nothing to the model 'revnet'. Received: 2"]),
        ([*CLASSIFY, "--conditional"], ["conditional means nothing to the model 'revnet'"]),
        ([*options("revvit"), "--patch-size", 3], ["patch_size must divide", "Received: 3"]),
        ([*options("revvit"), "--heads", 3], ["heads must divide the width 8"]),
        ([*options("revvit"), "--dropout", 1.0], ["dropout must"]),
        ([*options("revnet"), "--units", 2], ["filters must hold one number more"]),
        ([*options("irevnet"), "--units", 2], ["strides must hold one number"]),
    ],
)
def test_bad_settings_are_one_line_and_write_nothing(data, tmp_path, given, parts):
    folder = tmp_path / "run"
    check_error(invoke("train", "--data", data, "--output", folder, *given), *parts)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        (None, ["source must have labels", "no_classes.npz"]),
        (np.zeros([40], int), ["data must have images of at least 2 classes", "with 1"]),
    ],
)
def test_data_without_classes_are_refused(tmp_path, labels, parts):
    path = tmp_path / "no_classes.npz"
    arrays = {} if labels is None else {"y_train": labels}
    np.savez(path, x_train=np.zeros([40, 4, 4, 1], "uint8"), **arrays)
    check_error(
        invoke("train", "--data", path, *CLASSIFY, "--output", tmp_path / "run"),
        *parts,
    )


def test_a_run_without_a_task_is_one_of_a_density(tmp_path):
    old = {"data": "digits", "flow": "glow", "conditional": True, "steps": 4, "epochs": 3}
    (tmp_path / "config.json").write_text(json.dumps({"settings": old}))
    settings = Settings.load(tmp_path / "config.json")
    assert settings == Settings(conditional=True, steps=4, epochs=3)
    assert (settings.task, settings.architecture) == ("density", "glow")


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_defaults_suit_the_digits(model):
    settings = Settings(task="classify", model=model)
    assert str(settings.default_folder()) == f"runs/{model}-digits"
    assert settings.data_options()["labels"] is True
    assert settings.build((8, 8, 1), 10).output_shape == (None, 10)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    layer = keras.layers.Lambda(lambda x: x)
    keras.Sequential([keras.Input([4]), layer]).save(tmp_path / "code.keras")
    check_error(invoke("evaluate", tmp_path / "code.keras", "--data", "digits"), "ambda")


def test_a_model_of_something_else_is_refused(tmp_path):
    keras.Sequential([keras.Input([4]), keras.layers.Dense(3)]).save(tmp_path / "other.keras")
    result = invoke("evaluate", tmp_path / "other.keras", "--data", "digits")
    check_error(result, "run must hold a model of images", "other.keras")


def test_statistics_are_those_of_all_pixels():
    images = np.random.default_rng(0).integers(0, 256, [50, 4, 4, 2]).astype("uint8")
    images[..., 1] = 7
    batches = tf.data.Dataset.from_tensor_slices((images, np.zeros([50]))).batch(16)
    mean, deviation = classification.statistics(batches)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)))
    np.testing.assert_allclose(deviation, [images[..., 0].std(), 1.0])


def test_an_irevnet_shows_that_it_keeps_the_images(data, tmp_path):
    folder = tmp_path / "run"
    result = invoke("train", "--data", data, *options("irevnet"), "--epochs", 1, "--output", folder)
    assert result.exit_code == 0, result.output
    assert (folder / "reconstructions.png").exists()
    images = np.load(data)["x_test"].astype("int32")
    model = load_trained(folder).model
    np.testing.assert_array_equal(classification.reconstruct(model, images), images)
    signatures = tf.saved_model.load(str(folder / "saved_model")).signatures
    assert set(signatures) == {"classify", "features", "invert", "serving_default"}
    features = signatures["features"](x=tf.constant(images))["features"]
    np.testing.assert_array_equal(signatures["invert"](features=features)["x"], images)
    np.testing.assert_array_equal(signatures["invert"](features=features + 99.0)["x"], 255)


@pytest.fixture
def dies(monkeypatch):
    """Lets runs die in the given training step."""
    # What follows training takes long.
    monkeypatch.setattr(Classify, "draw", lambda *args, **kwargs: None)
    monkeypatch.setattr(Classify, "export", lambda _, model, path: path.mkdir())
    return dying(monkeypatch)


def test_a_resumed_run_is_the_one_that_was_never_stopped(data, tmp_path, dies):
    """With dropout, whose seeds go on."""
    command = ("train", "--data", data, *options("revvit"), "--flip", "--epochs", 3, "--output")
    assert invoke(*command, tmp_path / "whole").exit_code == 0
    dies(BATCHES + 2)
    with pytest.raises(Killed):
        invoke(*command, tmp_path / "pieces")
    dies(None)
    result = invoke("train", "--output", tmp_path / "pieces", "--resume")
    assert "from epoch 2 of 3" in result.stdout
    check_equal_runs(tmp_path / "whole", tmp_path / "pieces", steps=3 * BATCHES)


def test_a_loss_that_is_not_finite_stops_training_and_saves_nothing(data, tmp_path):
    rate = ("--learning-rate", 1e30, "--warmup-epochs", 0)
    command = ("train", "--data", data, *options("revvit"), *rate, "--output", tmp_path / "run")
    result = invoke(*command)
    assert result.exit_code == 2
    assert "Error: The loss is " in result.stderr
    assert not (tmp_path / "run" / "model.keras").exists()


def test_a_run_is_read_as_its_own_task(trained, tmp_path):
    copy = shutil.copytree(trained[0], tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    kept = ("data", "batch_size", "epochs", "seed")
    config["settings"] = {name: config["settings"][name] for name in kept}
    (copy / "config.json").write_text(json.dumps(config))
    check_error(invoke("train", "--output", copy, "--resume"), "run must hold a flow")
    with pytest.raises(UserError, match="which holds a classifier"):
        load_trained(copy, "density")
