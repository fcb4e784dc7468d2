"""Images in files of TFRecords, and what each of several workers reads of a stream."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import write_records
from tests.test_data import dict_dataset, store_with_tfds
from tfp_glow.app.errors import user_message
from tfp_glow.data import load_images

pytestmark = pytest.mark.slow

COUNT = 47
# Image i is full of the value i.
IMAGES = np.tile(np.arange(COUNT, dtype=np.uint8)[:, None, None, None], (1, 4, 4, 3))
LABELS = np.arange(COUNT) % 3
ALL = {"validation_fraction": 0.0, "test_fraction": 0.0}


def ids(dataset) -> list[int]:
    return [int(image[0, 0, 0]) for batch in dataset for image in batch]


@pytest.fixture
def files(tmp_path):
    """Five files of 10, 10, 10, 10 and 7 records."""
    for k in range(5):
        write_records(tmp_path / f"{k}.tfrecord", IMAGES[10 * k : 10 * k + 10])
    return tmp_path


def worker_epochs(data, start, stop, *, workers, replicas):
    """The batches of each worker, one after the other."""
    contexts = [tf.distribute.InputContext(workers, index, replicas) for index in range(workers)]
    return [list(data.worker_epochs(context, start, stop)) for context in contexts]


def test_workers_share_the_records_and_have_as_many_batches(files):
    data = load_images(files, batch_size=6, **ALL)
    parts = worker_epochs(data, 0, 2, workers=2, replicas=2)
    assert [len(batch) for batch in parts[0]] == [3] * 16  # Of 24 images, in two epochs.
    assert [len(batch) for batch in parts[1]] == [3] * 16
    assert len(data.train) == 8
    for start in (0, 8):
        epochs = [ids(part[start : start + 8]) for part in parts]
        assert set(epochs[0]) | set(epochs[1]) == set(range(COUNT))
        assert len(set(epochs[0]) & set(epochs[1])) == 1  # 47 is odd.
    assert ids(parts[0][:8]) != ids(parts[0][8:]) != sorted(ids(parts[0][8:]))
    # A worker opens the files of its stretch alone.
    for name in ("0", "1"):
        (files / f"{name}.tfrecord").unlink()
    context = tf.distribute.InputContext(2, 1, 2)
    assert ids(data.worker_epochs(context, 0, 1)) == ids(parts[1][:8])


def test_replicas_of_a_worker_share_its_batches(files):
    data = load_images(files / "*.tfrecord", batch_size=20, **ALL)
    ((*full, first, second),) = worker_epochs(data, 0, 1, workers=1, replicas=2)
    assert [len(batch) for batch in (*full, first, second)] == [10, 10, 10, 10, 7, 0]
    with pytest.raises(ValueError, match="batch_size must be divisible by the number of replicas"):
        worker_epochs(data, 0, 1, workers=3, replicas=3)


def test_workers_share_tfds_and_each_batch_of_what_cannot_be_shared(tmp_path):
    builder = store_with_tfds(tmp_path, "forty", {"train": dict_dataset()})
    data = load_images(builder, batch_size=8, labels=True, **ALL)
    first, second = worker_epochs(data, 0, 1, workers=2, replicas=2)
    assert len(first) == len(second) == 5
    assert sorted(ids(images for images, _ in first + second)) == list(range(40))
    arrays = load_images(IMAGES)
    assert arrays.worker_epochs is None
    # Of these, and of what measures, TensorFlow must not share files or epochs, and their ends
    # must not wait for its tuner.
    by_data = tf.data.experimental.AutoShardPolicy.DATA
    for dataset in (arrays.epochs(0, 1), arrays.test, data.train, data.epochs(0, 1)):
        options = dataset.options()
        assert options.experimental_distribute.auto_shard_policy == by_data
        assert options.autotune.enabled is False


def test_names_of_files_and_folders_tell_the_parts(tmp_path):
    names = ("a-train.tfrecord-00000-of-00002", "a-train.tfrecord-00001-of-00002")
    for k, name in enumerate((*names, "a-test.tfrecord-00000-of-00001")):
        write_records(tmp_path / name, IMAGES[k::3], LABELS[k::3])
    data = load_images(tmp_path, labels=True)
    assert data.num_classes == 3
    assert ids(images for images, _ in data.test) == list(range(2, COUNT, 3))
    for part in ("train", "val", "test"):
        write_records(tmp_path / "new" / part / "0.tfrecord", IMAGES[: 4 + len(part)])
    parts = load_images(tmp_path / "new")
    assert [len(ids(part)) for part in (parts.train, parts.validation, parts.test)] == [9, 7, 8]
    with pytest.raises(ValueError, match="must have a train split"):
        load_images(tmp_path / "*test.tfrecord*")


def test_values_may_be_stored_as_they_are_and_have_other_sizes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, [9, 2, 6, 3], np.uint8)
    images[4, 0, 0] = 66, 77, 0  # A BMP file begins so too.
    path = tmp_path / "raw.tfrecord"
    write_records(path, images, height=2, width=6, depth=3)
    found = np.concatenate([batch.numpy() for batch in load_images(path, **ALL).epochs(0, 1)])
    assert {image.tobytes() for image in found} == {image.tobytes() for image in images}
    write_records(path, images[..., 0], height=2, width=6)
    write_records(tmp_path / "b.tfrecord", images[:, :2, :4, :1])
    data = load_images(tmp_path, image_size=2, num_bits=5, **ALL)
    assert data.image_shape == (2, 2, 1)
    assert len(ids(data.train)) == 18


def test_the_seed_of_the_program_decides_nothing(files):
    """TensorFlow compares a seed that a graph computes with that of the program, where it is 0."""
    stream = tf.data.Dataset.from_tensor_slices(IMAGES)
    for data in (load_images(files, **ALL), load_images(stream, **ALL)):
        orders = []
        for seed in (0, 1):
            keras.utils.set_random_seed(seed)
            orders.append(ids(data.epochs(0, 1)))
        assert orders[0] == orders[1]


def test_bad_files_are_named(tmp_path):
    def refused(match, **options):
        with pytest.raises(ValueError, match=match):
            load_images(path, **options)

    path = tmp_path / "*.tfrecord"
    refused("must name files of records.*tfrecord', which has none")
    path = tmp_path / "a.tfrecord"
    path.touch()
    refused(r"must have records. Received: '.*a\.tfrecord', which is empty")
    path.write_bytes(b"no records but a text of many words")
    refused(r"whole files of records.*a\.tfrecord'")
    write_records(path, IMAGES)
    whole = path.read_bytes()
    refused(r"labels.*record 1 of '.*a\.tfrecord'.*\['image'\]", labels=True)
    path.write_bytes(whole[:-3])
    refused(r"whole files of records.*a\.tfrecord', which ends within record 47")
    path.write_bytes(whole[:20] + b"?" + whole[21:])
    refused(r"whole files of records. Received: '.*a\.tfrecord', damaged")
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff no example")
    refused(r"tf\.train\.Examples. Received: record 1 of '.*a\.tfrecord'")
    example = tf.train.Example(features=tf.train.Features(feature={"x": tf.train.Feature()}))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())
    refused(r"'image'. Received: record 1 of '.*a\.tfrecord', with 0 .*features \['x'\]")
    write_records(path, IMAGES[:3], [0, -1, 1])
    refused(r"labels of '.*a\.tfrecord' must not be negative", labels=True)


def test_what_is_wrong_later_is_found_while_it_is_read(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, [*IMAGES[:3], IMAGES[3, :2], *IMAGES[4:9]])
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        list(load_images(path, **ALL).epochs(0, 1))
    assert "(2, 4, 3) in record 4 of" in user_message(raised.value)
    write_records(path, IMAGES)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(tf.errors.DataLossError) as raised:
        list(load_images(path, **ALL).epochs(0, 1))
    assert "a file with a record that is damaged, at byte 5062" in user_message(raised.value)
