"""Tables of numbers: files of every kind, parts, noise, statistics and errors."""

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import jacobian_log_det, normal, randomize
from tfp_glow.columns import Column
from tfp_glow.data import load_table
from tfp_glow.data.rows import BLOCK
from tfp_glow.data.table_files import is_table

COUNT = 2 * BLOCK + 500


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    """Rows of which the first column tells which they are, and the second has whole numbers."""
    random = np.random.default_rng(0)
    counts = random.integers(0, 50, COUNT)
    return np.stack([np.arange(COUNT) + 0.25, counts, 5 + 2 * random.normal(size=COUNT)], -1)


@pytest.fixture(scope="module")
def table(numbers, tmp_path_factory):
    """The path of the rows as CSV."""
    path = tmp_path_factory.mktemp("table") / "table.csv"
    lines = [f"{a:.2f};{int(b)};{c!r}" for a, b, c in numbers.tolist()]
    path.write_text("index;count;size\n" + "\n".join(lines) + "\n")
    return path


def rows_of(batches: tf.data.Dataset) -> np.ndarray:
    return np.concatenate(list(batches.as_numpy_iterator()))


def test_parts_are_disjoint_and_have_their_shares(table, numbers):
    data = load_table(table, batch_size=100, seed=3)
    parts = [rows_of(part) for part in (data.train, data.validation, data.test)]
    # A tenth and two tenths of each block, rounded.
    assert [len(part) for part in parts[1:]] == [2 * 410 + 50, 2 * (819 - 410) + 50]
    assert [column.name for column in data.columns] == ["index", "count", "size"]
    places = np.sort(np.concatenate([np.floor(part[:, 0]) for part in parts]))
    np.testing.assert_array_equal(places, np.arange(COUNT))
    np.testing.assert_array_equal(np.floor(parts[2][:, 0]), data.test_rows)
    everything = rows_of(data.everything)
    np.testing.assert_allclose(everything[:, [0, 2]], numbers[:, [0, 2]], rtol=1e-6)
    # Statistics of training alone, in float64.
    kept = np.floor(parts[0][:, 0]).astype(int)
    for column, values in zip(data.columns, numbers[kept].T, strict=True):
        np.testing.assert_allclose([column.mean, column.deviation], [values.mean(), values.std()])


def test_whole_numbers_get_noise_that_is_new_in_each_epoch(table, numbers):
    data = load_table(table, batch_size=1000, seed=3)
    assert [column.integer for column in data.columns] == [False, True, False]
    first, second, again = (rows_of(data.epochs(k, k + 1)) for k in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert (first[:, 0] != second[:, 0]).mean() > 0.99  # Another order.
    for epoch in (first, second):
        noise = epoch[:, 1] - numbers[np.floor(epoch[:, 0]).astype(int), 1]
        assert -0.5 <= noise.min() < -0.49
        assert 0.49 < noise.max() < 0.5
    both = rows_of(data.epochs(0, 2))
    np.testing.assert_array_equal(both, np.concatenate([first, second]))
    assert data.epochs(0, 2).cardinality() == 2 * data.train.cardinality() == 2 * 7
    np.testing.assert_array_equal(rows_of(data.test), rows_of(data.test))
    # Neighbors are torn apart, from one block and from others.
    assert np.median(np.abs(np.diff(first[:, 0]))) > BLOCK / 4


def test_files_of_each_kind_hold_the_same(table, numbers, tmp_path):
    expected = load_table(table, columns=["size", "count"], seed=1)
    columns = dict(zip(("index", "count", "size"), numbers.T, strict=True))
    columns["count"] = columns["count"].astype(np.int64)
    whole = pa.table(columns)
    folder = tmp_path / "parts"
    folder.mkdir()
    pa.parquet.write_table(whole.slice(0, 3000), folder / "a.parquet")
    pa.parquet.write_table(whole.slice(3000), folder / "b.parquet")
    found = load_table(folder, columns=["size", "count"], seed=1)
    assert found.columns == expected.columns
    np.testing.assert_array_equal(rows_of(found.test), rows_of(expected.test))

    np.save(tmp_path / "rows.npy", numbers[:, [2, 1]])
    found = load_table(tmp_path / "rows.npy", columns=["0"], target="1", seed=1)
    assert [column.name for column in (*found.columns, *found.targets)] == ["0", "1"]
    assert found.columns[0].mean == expected.columns[0].mean
    x, _ = next(iter(found.test))
    np.testing.assert_array_equal(x[:, 0], rows_of(expected.test)[: len(x), 0])


def test_a_target_comes_beside_its_row_without_noise(table, numbers):
    data = load_table(table, target="count", batch_size=500)
    assert [column.name for column in data.columns] == ["index", "size"]
    assert [column.name for column in data.targets] == ["count"]
    x, y = next(iter(data.train))
    assert x.shape == (500, 2)
    np.testing.assert_array_equal(y[:, 0], numbers[np.floor(x[:, 0]).astype(int), 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a line with names"),
        ("a,b\n", "at least 2 rows for training. Received: 0"),
        ("1,2\n3,4\n", "first line with the columns' names"),
        ("a,a\n1,2\n", r"different names. Received: \['a'\]"),
        ("a,b\n1,2\n3,x\n", "must hold numbers. Received: 'x' in column 'b', line 3"),
        ("a,b\nx,y\nz,w\n", "must hold numbers. Received: 'x' in column 'a', line 2"),
        ("a,b\n1,2\n3,\n", "Received: none in column 'b', line 3 of"),
        ("a,b\n1,2\nNaN,1\n", "Received: none in column 'a', line 3 of"),
        ("a,b\n1,2\n3,inf\n", "Received: inf in column 'b', line 3 of"),
        ("a,b\n1,2\n3\n", "must be a table. .*Row #3: Expected 2 columns, got 1"),
        ("a,b\n1,5\n2,5\n3,5\n", "column 'b', which is 5.0 in all 3 rows of training"),
        ("a,b\n1,1e6\n2,1000001\n", "column 'b', whose values deviate by 0.5 from 1e[+]06"),
    ],
)
def test_a_bad_csv_names_column_and_line(text, message, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_table(path, validation_fraction=0.0, test_fraction=0.0)


def test_other_bad_tables(table, tmp_path):
    def refuses(source, message, **options):
        with pytest.raises(ValueError, match=message):
            load_table(source, **options)

    refuses(tmp_path / "none.csv", "must be an existing file")
    refuses(tmp_path, "a file, or a folder of files of one kind")
    refuses(table, "target must be among", target="cuont")
    refuses(table, "columns must be among", columns=["cuont"])
    refuses(table, "must not share names", columns=["count"], target="count")
    refuses(table, "at least", target=["index", "count", "size"])
    (tmp_path / "latin.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    refuses(tmp_path / "latin.csv", "text in UTF-8")
    np.save(tmp_path / "flat.npy", np.zeros(3))
    refuses(tmp_path / "flat.npy", r"numbers \[rows, columns\]")
    np.save(tmp_path / "nan.npy", np.array([[1.0, 2.0], [3.0, np.nan]]))
    refuses(tmp_path / "nan.npy", "none in column '1', row 2 of")
    np.save(tmp_path / "objects.npy", np.array([[None]]), allow_pickle=True)
    refuses(tmp_path / "objects.npy", "readable .npy file")
    pa.parquet.write_table(pa.table({"a": ["x", "y"]}), tmp_path / "text.parquet")
    refuses(tmp_path / "text.parquet", "column 'a' of type string")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    refuses(tmp_path / "broken.parquet", "readable Parquet")
    pa.parquet.write_table(pa.table({"a": [1.0, None]}), tmp_path / "null.parquet")
    refuses(tmp_path / "null.parquet", "none in column 'a', row 2 of")


def test_a_folder_of_images_is_no_table_for_the_table_beside_them(tmp_path):
    assert not is_table(tmp_path)
    (tmp_path / "labels.csv").write_text("name,label\n")
    assert is_table(tmp_path)
    (tmp_path / "cat.png").write_bytes(b"")
    assert not is_table(tmp_path)
    assert not is_table(tmp_path / "cat.png")
    assert not is_table("digits")
    assert is_table(tmp_path / "Labels.CSV")


@pytest.mark.slow
def test_a_tabular_flow_has_the_density_of_its_units(tmp_path):
    columns = [Column("a", 100.0, 20.0), Column("b", -3.0, 0.1, integer=True)]
    target = Column("t", 5.0, 2.0)
    inner = tg.flows.realnvp(2, steps=2, condition_size=1, seed=0, dtype="float64")
    flow = tg.flows.tabular(inner, columns, targets=[target])
    units = normal([6, 2])
    x, t = units * [20.0, 0.1] + [100.0, -3.0], normal([6, 1], seed=1) * 2.0 + 5.0
    flow.initialize(x, t)
    randomize(flow.bijector)
    standardized = inner.log_prob(units, condition=(t - 5.0) / 2.0)
    np.testing.assert_allclose(flow.log_prob(x, condition=t), standardized - np.log(2.0))
    log_det = jacobian_log_det(lambda v: flow.encode(v, t[:1]), x[0])
    z, log_prob = flow.encode_and_log_prob(x[:1], t[:1])
    np.testing.assert_allclose(log_prob, flow.distribution.log_prob(z) + log_det)
    np.testing.assert_allclose(flow.decode(tf.identity(z), t[:1]), x[:1])

    model = tg.FlowModel(flow)
    model.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras").distribution
    np.testing.assert_array_equal(loaded.log_prob(x, condition=t), flow.log_prob(x, condition=t))
    assert loaded.recipe["arguments"]["columns"] == columns


def test_tabular_refuses_what_does_not_fit():
    flow, column = tg.flows.linear(2), Column("a", 0.0, 1.0)
    with pytest.raises(TypeError, match="flow must be a Flow"):
        tg.flows.tabular("flow", [column])
    with pytest.raises(TypeError, match="columns must hold Columns"):
        tg.flows.tabular(flow, ["a", "b"])
    with pytest.raises(ValueError, match="columns must be one for each value"):
        tg.flows.tabular(flow, [column])
    with pytest.raises(ValueError, match="targets must be one for each value"):
        tg.flows.tabular(flow, [column, column], targets=[column])
    with pytest.raises(ValueError, match="deviation must be"):
        Column("a", 0.0, 0.0)
    with pytest.raises(ValueError, match="must be given together"):
        tg.bijectors.Standardized(flow.bijector, [0.0, 0.0], [1.0, 1.0], condition_mean=[1.0])
