"""The command line, on a tiny flow and tiny images."""

import contextlib
import dataclasses
import inspect
import json
import shutil
import signal
import subprocess
import sys
import time
import types
import unittest.mock
import weakref

import keras
import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
import tfp_glow_command
from tests.command_line import Killed, check_equal_runs, check_error, dying, history, invoke
from tfp_glow.app import callbacks, density_task, generation, pictures
from tfp_glow.app import run as run_module
from tfp_glow.app import trained as trained_module
from tfp_glow.app.architectures import FLOWS
from tfp_glow.app.errors import UserError
from tfp_glow.app.history import keep_epochs
from tfp_glow.app.lock import LOCK, sole_writer
from tfp_glow.app.settings import Settings
from tfp_glow.app.trained import load_trained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

BATCHES = 3
TINY = ("--levels", 1, "--steps", 1, "--hidden-channels", 4, "--batch-size", 32, "--num-bits", 5)
UNITS = ("--hidden-units", 8, "--hidden-units", 8)
VECTORS = ("--flow", "maf", "--steps", 1, *UNITS, "--batch-size", 32, "--num-bits", 5)
PICTURES = ("curves.png", *pictures.PICTURES)


def steps_done(folder):
    return int(keras.saving.load_model(folder / "model.keras").optimizer.iterations)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """80 training images, in three batches once validation images are taken, and 20 for test."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, [120, 4, 4, 3]).astype("uint8")
    labels = random.integers(0, 2, [120])
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    splits = {"x_train": images[:100], "x_test": images[100:]}
    np.savez(path, y_train=labels[:100], y_test=labels[100:], **splits)
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A conditional run of two epochs and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    options = ("--conditional", "--flip", "--epochs", 2, "--output", folder)
    result = invoke("train", "--data", data, *TINY, *options)
    assert result.exit_code == 0, result.output
    return folder, result


@pytest.fixture(scope="module")
def interrupted(data, tmp_path_factory):
    """An unconditional run with Ctrl-C in its second epoch, which is lost, and what it printed."""

    class CtrlC(keras.callbacks.Callback):
        def __init__(self, folder):
            super().__init__()

        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == BATCHES + 1:
                raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("runs") / "a run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "TensorBoardScalars", CtrlC)
        result = invoke("train", "--data", data, *TINY, "--epochs", 2, "--output", folder)
    return folder, result


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the trained run, to be changed."""
    return shutil.copytree(trained[0], tmp_path / "copy")


@pytest.mark.parametrize("name", PICTURES)
def test_train_draws_pictures(trained, name):
    picture = matplotlib.image.imread(trained[0] / name)
    assert (trained[0] / name).read_bytes().startswith(b"\x89PNG")
    assert min(picture.shape[:2]) > 100
    assert picture[..., :3].std() > 0.05


def test_train_leaves_nothing_but_its_files(trained):
    names = {path.name for path in trained[0].iterdir()}
    files = {"config.json", "history.csv", "saved_model", "tensorboard"}
    files |= {"best.keras", "model.keras"}
    assert names == files | set(PICTURES)


def test_train_logs_every_epoch(trained):
    rows = history(trained[0])
    assert [row["epoch"] for row in rows] == ["0", "1"]
    for row in rows:
        assert {"bits_per_dim", "val_bits_per_dim"} <= set(row)
        assert 4 < float(row["val_bits_per_dim"]) < 10  # Noise of five bits.


@pytest.mark.parametrize("part", ["train", "validation"])
def test_train_logs_for_tensorboard(trained, part):
    (path,) = (trained[0] / "tensorboard" / part).iterdir()
    events = tf.compat.v1.train.summary_iterator(str(path))
    values = [
        (event.step, float(tf.make_ndarray(value.tensor)))
        for event in events
        for value in event.summary.value
        if value.tag == "epoch_bits_per_dim"
    ]
    column = "bits_per_dim" if part == "train" else "val_bits_per_dim"
    logged = [(int(row["epoch"]), float(row[column])) for row in history(trained[0])]
    np.testing.assert_allclose(values, logged, rtol=1e-5)


def test_config_repeats_the_run(trained, data):
    config = json.loads((trained[0] / "config.json").read_text())
    assert config["versions"]["tfp_glow"] == tg.__version__
    assert config["versions"]["tensorflow"] == tf.__version__
    assert config["settings"]["num_bits"] == 5
    expected = Settings(
        data=str(data),
        levels=1,
        steps=1,
        hidden_channels=4,
        batch_size=32,
        num_bits=5,
        conditional=True,
        flip=True,
        epochs=2,
    )
    assert Settings.load(trained[0] / "config.json") == expected


def test_the_exported_model_is_the_saved_one(trained):
    model = keras.saving.load_model(trained[0] / "best.keras")
    decode = tf.saved_model.load(str(trained[0] / "saved_model")).signatures["decode"]
    z = tf.random.stateless_normal([5, 48], [0, 1])
    classes = tf.constant([0, 1, 0, 1, 1])
    expected = model.distribution.flow.decode(z, classes)
    np.testing.assert_allclose(decode(z=z, condition=classes)["x"], expected, rtol=1e-4, atol=1e-5)


def test_reconstruction_decodes_and_gives_the_images_back(interrupted, data, monkeypatch):
    distribution = load_trained(interrupted[0]).model.distribution
    images = np.load(data)["x_test"] // 8
    decoded = generation.reconstruct(distribution, images)
    assert np.count_nonzero(decoded != images) <= 2  # Noise at the very edge of a bin.
    with monkeypatch.context() as patch:
        patch.setattr(distribution.flow, "decode", lambda z, condition: 0 * images + z[0, 0])
        assert (generation.reconstruct(distribution, images) != images).any()


def test_resuming_a_finished_run_only_draws_again(copy):
    (copy / "samples.png").unlink()
    before = (copy / "model.keras").read_bytes()
    result = invoke("train", "--output", copy, "--resume")
    assert result.exit_code == 0, result.output
    assert (copy / "samples.png").exists()
    assert (copy / "model.keras").read_bytes() == before
    assert len(history(copy)) == 2


@pytest.mark.parametrize("row", ["2,1,1,1,1\r\n", "2,1.2", "2"])
def test_resume_drops_the_row_of_an_epoch_whose_model_was_not_saved(copy, row):
    before = (copy / "history.csv").read_bytes()
    (copy / "history.csv").write_bytes(before + row.encode())
    keep_epochs(copy / "history.csv", 2, ["bits_per_dim"])
    assert (copy / "history.csv").read_bytes() == before


def test_an_epoch_that_is_done_again_has_one_row(copy):
    keep_epochs(copy / "history.csv", 0, ["bits_per_dim"])
    assert not (copy / "history.csv").exists()


@pytest.mark.parametrize("cut", [1, 5, 60, 100])
def test_a_cut_history_is_found_before_training(copy, cut):
    content = (copy / "history.csv").read_bytes()
    (copy / "history.csv").write_bytes(content[:-cut])
    result = invoke("train", "--output", copy, "--resume", "--epochs", 3)
    check_error(result, "history.csv' must hold a row", "2 epochs")
    assert (copy / "history.csv").read_bytes() == content[:-cut]


@pytest.mark.parametrize("command", ["evaluate", "sample", "train"])
@pytest.mark.parametrize("damage", ["bit", "cut", "other"])
def test_a_damaged_model_is_named(copy, command, damage, tmp_path):
    name = "model.keras" if command == "train" else "best.keras"
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 4
    damaged = {"bit": content, "cut": content[:-100], "other": b"PK no model"}[damage]
    (copy / name).write_bytes(damaged)
    arguments = ("--output", copy, "--resume") if command == "train" else (copy,)
    check_error(invoke(command, *arguments), f"{name}' is damaged")


def test_no_changed_bit_of_a_model_goes_unnoticed(copy):
    content = (copy / "best.keras").read_bytes()
    expected = load_trained(copy).model.get_weights()
    for position in np.random.default_rng(0).integers(0, 8 * len(content), 40):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << (position % 8)
        (copy / "best.keras").write_bytes(changed)
        with contextlib.suppress(UserError):
            for value, weight in zip(load_trained(copy).model.get_weights(), expected, strict=True):
                np.testing.assert_array_equal(value, weight)


def test_a_full_disk_is_one_line(trained, tmp_path, monkeypatch):
    def save(*args, **kwargs):
        message = "{{function_node}} /x/variables; No space left on device [Op:SaveV2]"
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(tf.saved_model, "save", save)
    result = invoke("export", trained[0], tmp_path / "model")
    check_error(result, "Error: No space left on device\n")
    assert not list(tmp_path.iterdir())


def test_a_folder_has_one_writer(trained, data, tmp_path):
    for folder, options in ((trained[0], ["--resume"]), (tmp_path / "new", ["--data", data])):
        with sole_writer(folder):
            check_error(invoke("train", "--output", folder, *options), "under way", folder.name)
    assert not (tmp_path / "new").exists()


def test_a_killed_writer_holds_nothing(tmp_path):
    code = "import filelock, sys, time\n"
    code += "with filelock.FileLock(sys.argv[1]): print(flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / LOCK], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    with pytest.raises(UserError, match="under way"), sole_writer(tmp_path):
        pass
    process.kill()
    process.wait()
    with sole_writer(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_killed_run_are_removed(copy, monkeypatch):
    monkeypatch.setattr(density_task, "draw_pictures", lambda *args, **kwargs: None)
    names = {path.name for path in copy.iterdir()}
    for name in ("model.keras", "saved_model", "samples.png"):
        (copy / f".partial-{name}-0a1b2c3d").mkdir()
    (copy / LOCK).touch()
    assert invoke("train", "--output", copy, "--resume").exit_code == 0
    assert {path.name for path in copy.iterdir()} == names


def test_an_interrupted_run_is_saved(interrupted):
    folder, result = interrupted
    assert result.exit_code == 130
    assert f"The model is saved in {folder / 'model.keras'}" in result.stderr
    assert f"tfp-glow train --output '{folder}' --resume" in result.stderr
    assert steps_done(folder) == BATCHES
    files = {"config.json", "history.csv", "best.keras", "model.keras"}
    assert files == {p.name for p in folder.iterdir()}


def test_an_interrupted_run_goes_on_and_for_longer(interrupted, tmp_path, only_trains):
    folder = shutil.copytree(interrupted[0], tmp_path / "copy")
    result = invoke("train", "--output", folder, "--resume", "--epochs", 3)
    assert result.exit_code == 0, result.output
    assert "from epoch 2 of 3" in result.stdout
    assert [row["epoch"] for row in history(folder)] == ["0", "1", "2"]
    assert steps_done(folder) == 3 * BATCHES
    assert Settings.load(folder / "config.json").epochs == 3


@pytest.fixture
def only_trains(monkeypatch):
    """Runs without pictures and the SavedModel, which take longer than training."""
    monkeypatch.setattr(density_task, "draw_pictures", lambda *args, **kwargs: None)
    monkeypatch.setattr(density_task, "export_saved_model", lambda _, path: path.mkdir())


@pytest.fixture
def dies(monkeypatch, only_trains):
    """Lets runs die in the given training step."""
    return dying(monkeypatch)


def test_a_resumed_run_is_the_one_that_was_never_stopped(data, tmp_path, dies):
    deaths = (BATCHES - 1, BATCHES + 2)
    options = (*VECTORS, "--conditional", "--flip")
    command = ("train", "--data", data, *options, "--epochs", 3, "--output")
    assert invoke(*command, tmp_path / "whole").exit_code == 0
    for index, step in enumerate(deaths):
        dies(step)
        with pytest.raises(Killed):
            invoke(*command, tmp_path / "pieces", *(["--resume"] if index else []))
    dies(None)
    result = invoke("train", "--output", tmp_path / "pieces", "--resume")
    assert "from epoch 2 of 3" in result.stdout
    check_equal_runs(tmp_path / "whole", tmp_path / "pieces", steps=3 * BATCHES)


def test_a_foreign_folder_is_refused_and_left_alone(data, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    result = invoke("train", "--data", data, *TINY, "--output", tmp_path)
    check_error(result, "output must be a new folder", str(tmp_path), "no run of tfp-glow")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_finished_run_is_not_overwritten(trained, data):
    before = {path: path.stat().st_mtime_ns for path in trained[0].rglob("*")}
    result = invoke("train", "--data", data, *TINY, "--output", trained[0])
    check_error(result, "holds a run", "--resume")
    assert {path: path.stat().st_mtime_ns for path in trained[0].rglob("*")} == before


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--steps", 2], ["steps", "cannot change from 1", "Received: 2"]),
        (["--epochs", 1], ["epochs must be at least 2", "Received: 1"]),
        (["--num-bits", 8], ["num_bits", "cannot change from 5", "Received: 8"]),
    ],
)
def test_resume_refuses_other_settings(trained, options, parts):
    check_error(invoke("train", "--output", trained[0], "--resume", *options), *parts)


def test_resume_needs_a_run(tmp_path):
    result = invoke("train", "--output", tmp_path / "nothing", "--resume")
    check_error(result, "must hold a run to resume", "config.json")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--steps", 0], ["steps must be at least 1. Received: 0."]),
        (["--levels", 3], ["image_shape", "levels=3"]),
        (["--flow", "gloww"], ["flow must be one of", "Received: 'gloww'"]),
        (["--law", "none"], ["law must be one of", "'none'"]),
        (["--strategy", "many"], ["strategy must be one of"]),
        (["--strategy", "multiworker"], ["needs TF_CONFIG", '"index": 0', "Received: none."]),
        (["--strategy", "tpu"], ["strategy tpu needs a TPU", "'local'"]),
        (["--epochs", 0], ["epochs must be at least 1"]),
        (["--learning-rate", -1], ["learning_rate must be at least 0. Received: -1.0"]),
        (["--dequantization", "none"], ["dequantization must be one of"]),
        (["--loss", "flow_matching"], ["exactly one ContinuousFlow", "'glow'"]),
        (["--data", "nowhere.npz"], ["nowhere.npz"]),
        (["--data", "elsewhere"], ["source must be", "'elsewhere'"]),
    ],
)
def test_bad_settings_are_one_line_and_write_nothing(data, tmp_path, monkeypatch, options, parts):
    folder = tmp_path / "run"
    for name in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)
    result = invoke("train", "--data", data, *TINY, "--output", folder, *options)
    check_error(result, *parts)
    assert not folder.exists()


def test_settings_are_options_declared_once():
    result = invoke("train", "--help")
    for field in dataclasses.fields(Settings):
        assert f"--{field.name.replace('_', '-')}" in result.stdout
        assert field.metadata["help"].split()[0] in result.stdout


def test_a_run_of_an_older_version_still_loads(copy):
    config = json.loads((copy / "config.json").read_text())
    config["settings"]["coupling"] = "additive"
    del config["settings"]["law"]
    (copy / "config.json").write_text(json.dumps(config))
    assert Settings.load(copy / "config.json").law == "additive"


@pytest.mark.parametrize("flow", ["glow", "maf"])
def test_the_law_reaches_the_flow(flow):
    def size(law):
        flow_of_law = Settings(flow=flow, steps=1, law=law).build((4, 4, 1), None)
        return sum(tf.size(variable) for variable in flow_of_law.trainable_variables)

    assert size("additive") < size("affine")


@pytest.mark.parametrize("error", [ValueError, TypeError, RuntimeError])
def test_a_bug_shows_its_traceback(data, tmp_path, monkeypatch, error):
    def fit(*args, **kwargs):
        raise error("a bug")

    monkeypatch.setattr(tg.FlowModel, "fit", fit)
    result = invoke("train", "--data", data, *TINY, "--output", tmp_path / "run")
    assert type(result.exception) is error
    assert "Error:" not in result.stderr


def test_a_bug_in_a_picture_shows_its_traceback(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tfp_glow.app.density_task.sample_images", lambda *args, **kwargs: [None, None]
    )
    result = invoke("sample", trained[0], "--output", tmp_path / "images.npz")
    assert type(result.exception) is ValueError


def test_an_unreadable_image_found_in_training_is_one_line(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, [60, 4, 4, 3]).astype("uint8")
    for index, image in enumerate(images):
        (tmp_path / f"{index:02}.png").write_bytes(tf.io.encode_png(image).numpy())
    (tmp_path / "30.png").write_bytes(b"\x89PNG but no more")
    result = invoke("train", "--data", tmp_path, *TINY, "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: source has an unreadable image. Received: ")
    assert result.stderr.endswith("30.png' (InvalidArgumentError).\n")


def test_images_that_no_picture_can_show_are_refused_before_training(tmp_path):
    images = np.zeros([40, 4, 4, 4], "uint8")
    np.savez(tmp_path / "four.npz", x_train=images, x_test=images)
    result = invoke("train", "--data", tmp_path / "four.npz", *TINY, "--output", tmp_path / "run")
    check_error(result, "grey or RGB", "(4, 4, 4)")


def test_a_picture_of_no_known_format_is_one_line(trained, tmp_path):
    check_error(invoke("sample", trained[0], "--output", tmp_path / "a.nonsense"), "nonsense")


@pytest.mark.parametrize("arguments", [["train", "--nonsense"], ["nonsense"], ["sample"]])
def test_bad_usage(arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


def counted(monkeypatch, module, name):
    """Lets a function of a module be counted: a mock that calls it."""
    mock = unittest.mock.Mock(wraps=getattr(module, name))
    monkeypatch.setattr(module, name, mock)
    return mock


def test_evaluate_repeats_what_training_found(trained, data, tmp_path, monkeypatch):
    folder, training = trained
    result = invoke("evaluate", folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() in training.stdout
    output = ("--output", tmp_path / "bits.png", "--against", data)
    reads = counted(monkeypatch, trained_module, "read_model")
    measures = counted(monkeypatch, density_task, "bits_per_dim_of")
    of_file = invoke("evaluate", folder / "best.keras", "--data", data, *output)
    assert of_file.stdout == f"{result.stdout}Wrote {tmp_path / 'bits.png'}.\n"
    assert matplotlib.image.imread(tmp_path / "bits.png")[..., :3].std() > 0.05
    assert (reads.call_count, measures.call_count) == (1, 2)  # The test images and the others.
    check_error(invoke("evaluate", folder, "--against", data), "against needs the output")


def test_more_samples_of_the_noise_give_another_bound(trained):
    one, many = (
        invoke("evaluate", trained[0], "--importance-samples", count).stdout for count in (1, 8)
    )
    assert one == invoke("evaluate", trained[0]).stdout
    assert one != many


def test_settings_choose_the_noise_and_the_loss():
    data = types.SimpleNamespace(image_shape=(4, 4, 1), num_classes=None, num_bins=4)
    small = {"steps": 1, "hidden_channels": 4}
    settings = Settings(dequantization="variational", levels=1, **small)
    assert density_task.Density().new_model(settings, data).distribution.noise is not None
    settings = Settings(flow="ffjord", network="unet", loss="flow_matching", **small)
    model, curves = (
        density_task.Density().new_model(settings, data),
        density_task.Density().curves_of(settings),
    )
    assert set(curves) == {metric.name for metric in model.metrics} - {"loss"}
    with pytest.raises(ValueError, match="loss means nothing to the task 'vae'"):
        Settings(task="vae", loss="flow_matching")


def test_evaluate_needs_data_that_fit(trained, tmp_path):
    check_error(
        invoke("evaluate", trained[0], "--data", "digits"),
        "images of shape (4, 4, 3), pixels of 32 values and 2 classes. Received: 'digits' with",
    )
    lone = shutil.copy(trained[0] / "model.keras", tmp_path)
    check_error(invoke("evaluate", lone), "data must be given")


@pytest.mark.parametrize("command", ["evaluate", "sample", "interpolate"])
def test_a_missing_run_is_named(command, tmp_path):
    check_error(invoke(command, tmp_path / "none"), "run must be a folder", str(tmp_path / "none"))


def test_sample_gives_the_same_for_a_seed(trained, tmp_path):
    images = []
    for seed in (0, 0, 1):
        options = ("--num", 70, "--temperature", 0.5, "--seed", seed)
        result = invoke("sample", trained[0], *options, "--output", tmp_path / "images.npz")
        assert result.exit_code == 0, result.output
        images.append(np.load(tmp_path / "images.npz")["images"])
    assert images[0].shape == (70, 4, 4, 3)
    assert np.issubdtype(images[0].dtype, np.integer)
    assert images[0].min() >= 0
    assert images[0].max() < 32
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


def test_sample_draws_a_grid(trained, tmp_path):
    result = invoke("sample", trained[0], "--num", 6, "--output", tmp_path / "grid.png")
    assert result.exit_code == 0, result.output
    height, width, _ = matplotlib.image.imread(tmp_path / "grid.png").shape
    assert width > height  # Two rows of three.


def test_classes(trained, interrupted, tmp_path):
    output = tmp_path / "images.npz"
    for options, labels in (([], [0, 1, 0, 1, 0]), (["--class", 1], [1] * 5)):
        result = invoke("sample", trained[0], "--num", 5, *options, "--output", output)
        assert result.exit_code == 0, result.output
        assert list(np.load(output)["labels"]) == labels
    check_error(invoke("sample", trained[0], "--class", 2), "class must be from 0 to 1")
    check_error(invoke("sample", interrupted[0], "--class", 0), "the flow has no classes")
    check_error(invoke("sample", trained[0], "--guidance", 1), "guidance needs a tarflow")


def test_interpolate(trained, tmp_path):
    output = tmp_path / "paths.png"
    result = invoke("interpolate", trained[0], "--pairs", 2, "--steps", 4, "--output", output)
    assert result.exit_code == 0, result.output
    height, width, _ = matplotlib.image.imread(output).shape
    assert width > height


def test_interpolation_goes_from_one_image_to_the_other(trained):
    found = load_trained(trained[0])
    model, settings = found.model, found.settings
    loaded = tg.data.load_images(settings.data, **settings.data_options())
    start, end, labels = pictures.image_pairs(loaded.test, 3, seed=1)
    paths = generation.interpolate_images(model.distribution, start, end, steps=5, condition=labels)
    assert paths.shape == (3, 5, 4, 4, 3)
    assert np.count_nonzero(paths[:, 0] != start) + np.count_nonzero(paths[:, -1] != end) <= 2


def test_manipulate(trained, data, tmp_path):
    """Strength 0 gives the images back; the groups need labels, since the flow takes classes."""
    with np.load(data) as arrays:
        images, labels = arrays["x_train"], arrays["y_train"]
    bright = images.mean((1, 2, 3)) > np.median(images.mean((1, 2, 3)))
    for name, chosen in (("bright", bright), ("dark", ~bright)):
        np.savez(tmp_path / name, x_train=images[chosen], y_train=labels[chosen])
    groups = ["--with", tmp_path / "bright.npz", "--without", tmp_path / "dark.npz"]
    strengths = ["--strengths", "-2", "--strengths", "0", "--strengths", "2", "--num", 6]
    output = tmp_path / "altered.npz"
    result = invoke("manipulate", trained[0], *groups, *strengths, "--output", output)
    assert result.exit_code == 0, result.output
    with np.load(output) as written, np.load(data) as arrays:
        np.testing.assert_array_equal(written["strengths"], [-2, 0, 2])
        altered = written["images"]
        assert altered.shape == (6, 3, 4, 4, 3)
        assert np.count_nonzero(altered[:, 1] != arrays["x_test"][:6] // 8) <= 2
    dark, _, light = altered.mean((0, 2, 3, 4))
    assert dark < light
    result = invoke("manipulate", trained[0], *groups, "--num", 3, "--output", tmp_path / "a.png")
    assert result.exit_code == 0, result.output
    assert matplotlib.image.imread(tmp_path / "a.png").shape[0] > 5 * 64
    np.savez(tmp_path / "large", x_train=np.zeros([2, 8, 8, 3], "uint8"), y_train=[0, 1])
    groups[1] = tmp_path / "large.npz"
    check_error(invoke("manipulate", trained[0], *groups), "data must have images of shape")


def test_pairs_are_of_one_class():
    images = np.arange(12).reshape(12, 1, 1, 1)
    labels = np.arange(12) % 3
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(5)
    start, end, found = pictures.image_pairs(batches, 5)
    np.testing.assert_array_equal(start.ravel() % 3, found)
    np.testing.assert_array_equal(end.ravel() % 3, found)
    assert len(set(start.ravel()) | set(end.ravel())) == 10


def test_export(trained, tmp_path):
    assert invoke("export", trained[0], tmp_path / "model").exit_code == 0
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    assert set(signatures) == {"log_prob", "sample", "encode", "decode", "serving_default"}
    check_error(invoke("export", trained[0], tmp_path / "model"), "path must not exist yet")


def test_a_loss_that_is_not_finite_stops_training_and_saves_nothing(data, tmp_path):
    options = ("--epochs", 2, "--learning-rate", 1e30, "--warmup-epochs", 0)
    result = invoke("train", "--data", data, *VECTORS, *options, "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert "Error: The loss is " in result.stderr
    assert not (tmp_path / "run" / "model.keras").exists()


def test_the_learning_rate_rises_and_falls_to_zero():
    schedule = run_module._learning_rate(Settings(epochs=10, warmup_epochs=2), 7)
    rates = [float(schedule(step)) for step in range(71)]
    assert rates[0] == rates[70] == 0
    assert np.argmax(rates) == 14
    assert rates[14] == pytest.approx(Settings().learning_rate)


def test_version():
    assert invoke("--version").stdout == f"tfp-glow {tg.__version__}\n"
    code = "import sys, tfp_glow_command as c; c.main(); assert 'tensorflow' not in sys.modules"
    command = [sys.executable, "-c", code, "--version"]
    at_once = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (at_once.stdout, at_once.stderr) == (f"tfp-glow {tg.__version__}\n", "")


def test_nothing_that_an_error_held_outlives_the_command():
    class Held:
        pass

    def run():
        held = Held()
        references.append(weakref.ref(held))
        raise SystemExit(3) from UserError()

    references = []
    assert tfp_glow_command._status(run) == 3
    assert references[0]() is None


def test_ctrl_c_is_not_lost_in_a_destructor():
    """Python prints what a destructor raises, and goes on."""

    class Pressed(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            weakref.finalize(Pressed(), signal.raise_signal, signal.SIGINT)

    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    ones, usual = np.ones([8, 1]), signal.getsignal(signal.SIGINT)
    with callbacks.CtrlC() as ctrl_c, pytest.raises(KeyboardInterrupt):
        model.fit(ones, ones, batch_size=1, verbose=0, callbacks=[Pressed(), ctrl_c])
    assert int(model.optimizer.iterations) == 1
    assert signal.getsignal(signal.SIGINT) is usual


def test_training_stops_when_validation_does_not_get_better(data, tmp_path, only_trains):
    command = ("train", "--data", data, *VECTORS, "--learning-rate", 0, "--patience", 2)
    result = invoke(*command, "--epochs", 9, "--output", tmp_path / "run")
    assert "Pictures and the SavedModel of epoch 1, the best, follow." in result.stdout
    assert len(history(tmp_path / "run")) == 3
    best, last = (tmp_path / "run" / name for name in ("best.keras", "model.keras"))
    for file, epochs in ((best, 1), (last, 3)):
        assert int(keras.saving.load_model(file).optimizer.iterations) == epochs * BATCHES
    again = invoke("train", "--output", tmp_path / "run", "--resume")
    assert again.exit_code == 0
    assert len(history(tmp_path / "run")) == 3


@pytest.mark.parametrize(("schedule", "end"), [("cosine", 0.0), ("constant", 0.5)])
def test_schedules_warm_up_and_then_differ(schedule, end):
    settings = Settings(epochs=4, warmup_epochs=2, learning_rate=0.5, schedule=schedule)
    rates = [float(run_module._learning_rate(settings, 10)(step)) for step in (0, 10, 20, 39, 40)]
    np.testing.assert_allclose(rates[:3] + rates[-1:], [0.0, 0.25, 0.5, end], atol=1e-6)


def test_ctrl_c(data, tmp_path):
    folder = tmp_path / "run"
    code = "from tfp_glow.app.cli import main; main()"
    options = ["train", "--data", data, *TINY, "--epochs", 100000, "--output", folder]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, options)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.time() + 120
    while not (folder / "model.keras").exists() and time.time() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()  # Where it goes on, it must not do so behind the other tests.
    assert process.returncode == 130
    assert f"The model is saved in {folder / 'model.keras'}" in errors
    assert "Traceback" not in errors
    assert steps_done(folder) >= BATCHES


@pytest.mark.parametrize("flow", FLOWS)
def test_every_flow_can_be_chosen(flow):
    small = {"gaussian": {"hidden_units": [4]}, "linear": {}, "nice": {"hidden_units": [4]}}
    small |= {name: {"patch_size": 2, "width": 8, "blocks": 1} for name in ("jet", "tarflow")}
    small["realnvp"] = {"levels": 1, "hidden_channels": 4, "blocks": 1}
    options = small.get(flow, {"steps": 1})
    assert Settings(flow=flow, **options).build((4, 4, 1), None).event_shape == (4, 4, 1)
    conditional = "num_classes" in inspect.signature(tg.flows.RECIPES[flow]).parameters
    if conditional:
        settings = Settings(flow=flow, conditional=True, **options)
        assert settings.build((4, 4, 1), 3).condition_shape == ()
    else:
        with pytest.raises(ValueError, match="conditional means nothing"):
            Settings(flow=flow, conditional=True, **options)


def test_a_vector_flow_trains_on_images_on_all_devices(data, tmp_path, only_trains):
    folder = tmp_path / "maf"
    options = ("--epochs", 1, "--strategy", "mirrored", "--output", folder)
    result = invoke("train", "--data", data, *VECTORS, *options)
    assert result.exit_code == 0, result.output
    assert "bits/dim" in result.output
    assert json.loads((folder / "config.json").read_text())["settings"]["hidden_units"] == [8, 8]


def test_nearest_images_are_found_in_whatever_batch_they_are():
    images = np.random.default_rng(0).integers(0, 256, [50, 4, 4, 1]).astype("uint8")
    batches = tf.data.Dataset.from_tensor_slices((images, np.zeros(50))).batch(8)
    wanted = images[[3, 49, 17]].astype("int32") + np.array([1, -1, 2]).reshape(3, 1, 1, 1)
    found = pictures.nearest_images(wanted, batches)
    np.testing.assert_array_equal(found, images[[3, 49, 17]])
