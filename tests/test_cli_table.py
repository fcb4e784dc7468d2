"""`tfp-glow` on a table: train, evaluate, sample, rank, resume, export and errors."""

import csv
import shutil

import keras
import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf

from tests.command_line import check_error, history, invoke
from tfp_glow.app.settings import Settings

pytestmark = pytest.mark.slow

TRAIN = ("--flow", "maf", "--steps", 2, "--hidden-units", 8, "--batch-size", 50)


def numbers(path) -> dict[str, np.ndarray]:
    with open(path) as file:
        names, *rows = csv.reader(file)
    return dict(zip(names, np.array(rows, float).T, strict=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """200 rows: how high water of some grams stands in a glass, and one row that is wrong."""
    random = np.random.default_rng(0)
    grams = random.integers(100, 300, 200)
    height = 0.02 * grams + random.normal(size=200) * 0.1
    height[17] = 30.0
    width = 7 + 0.5 * random.normal(size=200)
    path = tmp_path_factory.mktemp("data") / "glasses.csv"
    rows = "\n".join(f"{g},{h:.4f},{w:.4f}" for g, h, w in zip(grams, height, width, strict=True))
    path.write_text("grams,height,width\n" + rows + "\n")
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "trained"
    options = (*TRAIN, "--target", "width", "--epochs", 8, "--learning-rate", 0.02)
    result = invoke("train", "--data", data, *options, "--output", folder)
    assert result.exit_code == 0, result.output
    return folder, result


def test_train_writes_its_files_and_learns(trained):
    folder, result = trained
    files = {"config.json", "history.csv", "saved_model", "tensorboard", "best.keras"}
    pictures = {"curves.png", "pairs.png", "calibration.png"}
    assert {path.name for path in folder.iterdir()} == files | pictures | {"model.keras"}
    assert "2 columns given width" in result.stdout
    assert "nats, minus log p in the columns' units. The model" in result.stdout
    losses = [float(row["val_loss"]) for row in history(folder)]
    assert losses[-1] < losses[0] - 0.1
    for name in pictures:
        assert matplotlib.image.imread(folder / name)[..., :3].std() > 0.05
    assert Settings.load(folder / "config.json").task == "table"


def test_evaluate_writes_densities_and_the_saved_model_agrees(trained, data, tmp_path):
    folder, result = trained
    found = invoke("evaluate", folder, "--output", tmp_path / "densities.csv")
    assert found.exit_code == 0, found.output
    densities = numbers(tmp_path / "densities.csv")
    nats = -densities["log_prob"].mean()
    assert f"Test rows: {nats:.4f} nats" in found.stdout
    assert f"{nats:.4f} nats" in result.stdout
    rows = numbers(data)
    place = densities["row"].astype(int) - 1
    assert len(place) == 20
    # The noise of whole numbers, here a hundredth of their deviation, is all that is new.
    x = np.stack([rows["grams"], rows["height"]], -1).astype("float32")[place]
    saved = tf.saved_model.load(str(folder / "saved_model")).signatures["log_prob"]
    condition = rows["width"].astype("float32")[place, np.newaxis]
    (log_prob,) = saved(x=tf.constant(x), condition=tf.constant(condition)).values()
    np.testing.assert_allclose(log_prob, densities["log_prob"], atol=0.2)
    again = invoke("evaluate", folder / "best.keras", "--data", data)
    assert again.stdout == found.stdout.splitlines()[0] + "\n"


def test_sample_writes_the_same_columns_and_types(trained, tmp_path):
    path = tmp_path / "samples.csv"
    given = ("--given", "width=7.5", "--output", path)
    result = invoke("sample", trained[0], "--num", 300, "--seed", 1, *given)
    assert result.exit_code == 0, result.output
    samples = numbers(path)
    assert list(samples) == ["grams", "height", "width"]
    np.testing.assert_array_equal(samples["grams"], np.round(samples["grams"]))
    assert "." not in path.read_text().splitlines()[1].split(",")[0]
    assert 150 < np.median(samples["grams"]) < 250
    assert set(samples["width"]) == {7.5}


def test_anomalies_ranks_the_wrong_row_first(trained, data, tmp_path):
    path = tmp_path / "anomalies.csv"
    result = invoke("anomalies", trained[0], "--num", 5, "--output", path)
    assert result.exit_code == 0, result.output
    ranked, rows = numbers(path), numbers(data)
    assert list(ranked) == ["rank", "row", "log_prob", "grams", "height", "width"]
    assert ranked["row"][0] == 18
    assert (np.diff(ranked["log_prob"]) >= 0).all()
    place = ranked["row"].astype(int) - 1
    for name, values in rows.items():
        np.testing.assert_allclose(ranked[name], values[place], rtol=1e-6)


def test_errors(trained, data, tmp_path):
    folder = trained[0]
    given = ("--given", "width=1")
    check_error(invoke("sample", folder), "given must have a value for each of ['width']")
    check_error(invoke("sample", folder, "--given", "width=x"), "NAME=NUMBER", "'width=x'")
    nothing = "means nothing to the task 'table'"
    check_error(invoke("sample", folder, "--class", 1, *given), f"class_id {nothing}")
    check_error(invoke("evaluate", folder, "--importance-samples", 2), nothing)
    check_error(invoke("interpolate", folder), "must hold a flow", "holds a flow on a table")
    other = tmp_path / "other.csv"
    other.write_text("grams,height\n" + "1,2\n3,4\n" * 20)
    message = "target must be among ['grams', 'height']"
    check_error(invoke("evaluate", folder, "--data", other), message)
    output = ("--output", tmp_path / "run")
    for arguments, parts in {
        ("--data", data, "--flow", "glow"): ("image_shape must be (H, W, C)",),
        ("--data", data, "--flip"): ("flip means nothing to the task 'table'",),
        ("--data", data, "--conditional"): ("conditional means nothing",),
        ("--data", data, "--flow", "linear", "--target", "width"): ("target means nothing",),
        ("--target", "width"): ("target means nothing to the task 'density'",),
        ("--data", tmp_path / "none.csv"): ("must be an existing file",),
    }.items():
        check_error(invoke("train", *arguments, *output), *parts)
    other.write_text("grams,height\n1,2\n3,4\n5,7\n")
    check_error(invoke("train", "--data", other, *output), "rows enough for validation and test")
    shutil.copy(folder / "best.keras", tmp_path / "model.keras")
    check_error(invoke("evaluate", tmp_path / "model.keras"), "data must be given")
    assert keras.saving.load_model(tmp_path / "model.keras").distribution.name == "tabular"
