"""Tests of `load_images`: every kind of source, its splits, its batches and its errors."""

import functools
import shutil
import socket
import subprocess
import sys
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import write_records
from tfp_glow.data import ImageData, load_images
from tfp_glow.data import streams as streams_module

COUNT = 40
# Image i is full of the value i, so that an image tells which one it is.
IMAGES = np.tile(np.arange(COUNT, dtype=np.uint8)[:, None, None, None], (1, 4, 4, 1))
LABELS = np.arange(COUNT) % 3
PARTS = ("train", "validation", "test")


def write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(image).numpy())


def write_images(folder, ids, *, classes=False):
    for i in ids:
        name = f"class{LABELS[i]}/{i:03}.png" if classes else f"{i:03}.png"
        write_image(folder / name, IMAGES[i])
    return folder


def pairs_dataset():
    return tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))


def dict_dataset(ids=None):
    ids = np.arange(COUNT) if ids is None else np.asarray(ids)
    return tf.data.Dataset.from_tensor_slices({"image": IMAGES[ids], "label": LABELS[ids]})


def generator_dataset():
    spec = (tf.TensorSpec([4, 4, None], tf.int32), tf.TensorSpec([], tf.int64))
    return tf.data.Dataset.from_generator(
        lambda: zip(IMAGES.astype(np.int32), LABELS, strict=True), output_signature=spec
    )


def store_with_tfds(data_dir, name, splits, **kwargs):
    tfds = pytest.importorskip("tensorflow_datasets")
    label = tfds.features.ClassLabel(num_classes=3)
    image = tfds.features.Image(shape=(4, 4, 1))
    return tfds.dataset_builders.store_as_tfds_dataset(
        name,
        version="1.0.0",
        features=tfds.features.FeaturesDict({"image": image, "label": label}),
        split_datasets=splits,
        data_dir=data_dir,
        **kwargs,
    )


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a test touched the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the same 40 images as files of each kind."""
    root = tmp_path_factory.mktemp("sources")
    write_images(root / "flat", range(COUNT))
    write_images(root / "classes", range(COUNT), classes=True)
    np.savez(root / "all.npz", x_train=IMAGES, y_train=LABELS)
    for k in range(3):
        write_records(root / "records" / f"forty{k}.tfrecord", IMAGES[k::3], LABELS[k::3])
    write_images(root / "tfds_folder" / "train", range(COUNT), classes=True)
    store_with_tfds(root / "tfds", "forty", {"train": dict_dataset()})
    return root


def tfds_folder(root):
    tfds = pytest.importorskip("tensorflow_datasets")
    return tfds.folder_dataset.ImageFolder(root / "tfds_folder", shape=(None, None, 1))


def tfds_builder(root):
    tfds = pytest.importorskip("tensorflow_datasets")
    return tfds.builder_from_directory(root / "tfds" / "forty" / "1.0.0")


LABELLED = {
    "arrays": lambda root: (IMAGES, LABELS),
    "int64 arrays without channels": lambda root: (IMAGES[..., 0].astype(int), LABELS[:, None]),
    "npz": lambda root: root / "all.npz",
    "dataset of pairs": lambda root: pairs_dataset(),
    "dataset of dicts": lambda root: dict_dataset(),
    "dataset of unknown size": lambda root: generator_dataset(),
    "class folders": lambda root: root / "classes",
    "split folder": lambda root: str(root / "tfds_folder"),
    "records": lambda root: root / "records",
    "tfds ImageFolder": tfds_folder,
    "tfds builder": tfds_builder,
    "tfds name": lambda root: "tfds:forty",
}
UNLABELLED = {
    "array": lambda root: IMAGES,
    "dataset of images": lambda root: tf.data.Dataset.from_tensor_slices(IMAGES[..., 0]),
    "flat folder": lambda root: root / "flat",
}
KINDS = [*LABELLED, *UNLABELLED]
# One kind of each way to split and shuffle.
WAYS = ["array", "dataset of images", "flat folder", "tfds builder", "records"]


def load(kind, root, **kwargs):
    make = (LABELLED | UNLABELLED)[kind]
    return load_images(make(root), data_dir=root / "tfds", **kwargs)


def all_images(dataset):
    """The images of an epoch in one array, without the labels."""
    batches = [batch[0] if isinstance(batch, tuple) else batch for batch in dataset]
    return np.concatenate([batch.numpy() for batch in batches])


def ids_of(dataset):
    return all_images(dataset)[:, 0, 0, 0].tolist()


def part_ids(data):
    return {part: ids_of(getattr(data, part)) for part in PARTS if getattr(data, part)}


@pytest.fixture(scope="module")
def loaded(root):
    """Loads each kind of source once, with labels where it has them."""
    return functools.cache(lambda kind: load(kind, root, labels=kind in LABELLED, batch_size=15))


class TestSources:
    @pytest.mark.parametrize("kind", KINDS)
    def test_parts_hold_the_source_without_overlap(self, kind, loaded):
        ids = {part: [] for part in PARTS}
        for part in PARTS:
            for batch in getattr(loaded(kind), part):
                images, *labels = batch if kind in LABELLED else (batch,)
                numbers = images[:, 0, 0, 0].numpy()
                np.testing.assert_array_equal(images, IMAGES[numbers])
                for label in labels:
                    np.testing.assert_array_equal(label, LABELS[numbers])
                ids[part] += numbers.tolist()
        assert sorted(chain(*ids.values())) == list(range(COUNT))
        assert 2 <= len(ids["validation"]) <= 6
        assert 2 <= len(ids["test"]) <= 6

    @pytest.mark.parametrize("kind", KINDS)
    def test_attributes(self, kind, loaded):
        data = loaded(kind)
        assert isinstance(data, ImageData)
        assert (data.image_shape, data.num_bins) == ((4, 4, 1), 256)
        assert data.num_classes == (3 if kind in LABELLED else None)
        image, *label = tf.nest.flatten(data.train.element_spec)
        assert image == tf.TensorSpec([None, 4, 4, 1], tf.uint8)
        assert label == ([tf.TensorSpec([None], tf.int32)] if kind in LABELLED else [])

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", WAYS)
    def test_seed_decides_splits_and_order(self, kind, root):
        first, again, other = (ids_of(load(kind, root, seed=seed).train) for seed in (1, 1, 2))
        assert first == again
        assert first != other
        # tfds shuffled the examples when it stored them; their ranges are fixed.
        assert (set(first) == set(other)) == (kind == "tfds builder")

    @pytest.mark.parametrize("kind", ["arrays", "class folders", "tfds name"])
    def test_labels_come_only_if_asked(self, kind, root):
        data = load(kind, root)
        assert isinstance(data.train.element_spec, tf.TensorSpec)
        assert data.num_classes is None

    def test_digits(self):
        data = load_images("digits", labels=True, num_bits=5)
        values = np.concatenate([all_images(getattr(data, part)) for part in PARTS])
        assert values.shape == (1797, 8, 8, 1)
        assert (values.min(), values.max()) == (0, 16)
        assert (data.image_shape, data.num_bins, data.num_classes) == ((8, 8, 1), 17, 10)

    def test_digits_without_labels(self):
        assert load_images("digits").num_classes is None


class TestGivenSplits:
    def test_npz_keeps_its_test_split(self, tmp_path):
        np.savez(tmp_path / "a.npz", x_train=IMAGES[:30], x_test=IMAGES[30:])
        ids = part_ids(load_images(tmp_path / "a.npz"))
        assert ids["test"] == list(range(30, 40))
        assert len(ids["validation"]) == 3
        assert sorted(ids["train"] + ids["validation"]) == list(range(30))

    @pytest.mark.parametrize("name", ["val", "validation"])
    def test_folder_keeps_its_splits(self, tmp_path, name):
        write_images(tmp_path / "train", range(20), classes=True)
        write_images(tmp_path / name, range(20, 30), classes=True)
        write_images(tmp_path / "test", range(30, 40), classes=True)
        data = load_images(tmp_path, labels=True)
        ids = part_ids(data)
        assert sorted(ids["train"]) == list(range(20))
        assert sorted(ids["validation"]) == list(range(20, 30))
        assert sorted(ids["test"]) == list(range(30, 40))
        for images, labels in data.test:
            np.testing.assert_array_equal(labels, LABELS[images[:, 0, 0, 0].numpy()])

    def test_tfds_keeps_its_test_split(self, tmp_path):
        splits = {"train": dict_dataset(range(30)), "test": dict_dataset(range(30, 40))}
        ids = part_ids(load_images(store_with_tfds(tmp_path, "split", splits)))
        assert sorted(ids["test"]) == list(range(30, 40))
        assert sorted(ids["train"] + ids["validation"]) == list(range(30))

    def test_fraction_zero_leaves_a_part_out(self):
        data = load_images(IMAGES, validation_fraction=0, test_fraction=0.0)
        assert data.validation is None
        assert data.test is None
        assert sorted(ids_of(data.train)) == list(range(COUNT))

    def test_fractions_decide_sizes(self):
        ids = part_ids(load_images(IMAGES, validation_fraction=0.25, test_fraction=0.5))
        assert {part: len(ids[part]) for part in PARTS} == dict(train=10, validation=10, test=20)

    def test_small_fraction_takes_at_least_one(self):
        ids = part_ids(load_images(IMAGES, validation_fraction=0.001, test_fraction=0))
        assert len(ids["validation"]) == 1

    def test_streams_sorted_by_class_are_split_evenly(self):
        order = np.argsort(np.arange(1000) // 100, kind="stable")
        images = np.zeros((1000, 2, 2, 1), np.uint8)
        dataset = tf.data.Dataset.from_tensor_slices((images, order // 100))
        data = load_images(dataset, labels=True)
        assert data.num_classes == 10
        labels = np.concatenate([labels.numpy() for _, labels in data.test])
        assert np.bincount(labels, minlength=10) == pytest.approx([10] * 10, abs=2)

    def test_tfds_sorted_by_class_is_split_evenly(self, tmp_path):
        ids = np.argsort(LABELS, kind="stable")
        builder = store_with_tfds(
            tmp_path, "sorted", {"train": dict_dataset(ids)}, disable_shuffling=True
        )
        data = load_images(builder, labels=True, test_fraction=0.3, validation_fraction=0)
        labels = np.concatenate([labels.numpy() for _, labels in data.test])
        assert np.bincount(labels, minlength=3).min() >= 3


class TestBatches:
    @pytest.mark.parametrize("kind", WAYS)
    def test_train_is_shuffled_each_epoch_and_the_rest_never(self, kind, loaded):
        data = loaded(kind)
        first, second = ids_of(data.train), ids_of(data.train)
        assert first != second
        assert sorted(first) == sorted(second)
        assert first != sorted(first)
        assert ids_of(data.validation) == ids_of(data.validation)
        assert ids_of(data.test) == ids_of(data.test)

    def test_epochs_repeat_from_the_seed(self):
        epochs = [[ids_of(data.train) for _ in range(2)] for data in map(load_images, [IMAGES] * 2)]
        assert epochs[0] == epochs[1]

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", WAYS)
    def test_training_can_go_on_at_any_epoch(self, kind, root):
        data, again = (load(kind, root, seed=3, flip=True) for _ in range(2))
        size = len(ids_of(data.train))
        whole, later = ids_of(data.epochs(0, 4)), ids_of(again.epochs(2, 4))
        epochs = [whole[start : start + size] for start in range(0, 4 * size, size)]
        assert len({tuple(epoch) for epoch in epochs}) == 4
        assert len({tuple(sorted(epoch)) for epoch in epochs}) == 1
        assert later == epochs[2] + epochs[3]

    def test_the_given_test_split_keeps_its_order(self, tmp_path):
        np.savez(tmp_path / "a.npz", x_train=IMAGES, x_test=IMAGES[::-1])
        assert ids_of(load_images(tmp_path / "a.npz").test) == list(range(COUNT))[::-1]

    @pytest.mark.parametrize("kind", WAYS)
    def test_number_of_batches_is_known(self, kind, loaded):
        for part in PARTS:
            batches = getattr(loaded(kind), part)
            assert len(batches) == sum(1 for _ in batches)

    @pytest.mark.parametrize("kind", WAYS)
    def test_last_batch_may_have_fewer(self, kind, loaded):
        *full, last = [len(tf.nest.flatten(batch)[0]) for batch in loaded(kind).train]
        assert set(full) == {15}
        assert 0 < last < 15

    @pytest.mark.parametrize("num_bits", [1, 3, 5, 8])
    def test_bits_are_reduced_by_floor(self, num_bits):
        values = np.arange(256, dtype=np.uint8).reshape(16, 4, 4)
        data = load_images(values, num_bits=num_bits, validation_fraction=0, test_fraction=0)
        got = np.sort(all_images(data.train).ravel())
        assert data.num_bins == 2**num_bits
        np.testing.assert_array_equal(got, np.arange(256) // 2 ** (8 - num_bits))

    @pytest.mark.parametrize("part", ["validation", "test"])
    def test_bits_are_reduced_in_every_part(self, part):
        data = load_images(np.full((20, 2, 2), 255), num_bits=5)
        assert set(all_images(getattr(data, part)).ravel()) == {31}

    def test_reading_changes_no_source(self):
        images = IMAGES.copy()
        list(load_images(images, num_bits=3, flip=True).train)
        np.testing.assert_array_equal(images, IMAGES)

    def test_later_changes_of_the_source_do_not_show(self):
        images = IMAGES.copy()
        data = load_images(images)
        images[:] = 255
        assert max(ids_of(data.train)) < COUNT


class TestFlip:
    # The left column holds the number of the image, the right one zero.
    SOURCE = np.stack([np.arange(1, 201), np.zeros(200)], -1)[:, None, :, None].astype(np.uint8)

    @staticmethod
    def flipped(dataset):
        """Whether each image was flipped, by the number of the image."""
        left, right = all_images(dataset)[:, 0, :, 0].T.astype(int)
        assert np.all((left == 0) ^ (right == 0))
        return dict(zip((left + right).tolist(), (left == 0).tolist(), strict=True))

    @pytest.mark.parametrize(
        "make", [lambda x: x, tf.data.Dataset.from_tensor_slices], ids=["array", "stream"]
    )
    def test_half_of_train_is_flipped_and_nothing_else(self, make):
        data = load_images(make(self.SOURCE), flip=True)
        train = self.flipped(data.train)
        assert 0.3 < np.mean(list(train.values())) < 0.7
        assert not any(self.flipped(data.validation).values())
        assert not any(self.flipped(data.test).values())
        assert len(train) + len(all_images(data.validation)) + len(all_images(data.test)) == 200

    def test_no_flips_unless_asked(self):
        assert not any(self.flipped(load_images(self.SOURCE).train).values())

    def test_flips_differ_by_epoch_and_repeat_from_the_seed(self):
        data, again = (load_images(self.SOURCE, flip=True) for _ in range(2))
        first, second = self.flipped(data.train), self.flipped(data.train)
        assert first != second
        assert first == self.flipped(again.train)
        assert self.flipped(data.epochs(5, 6)) == self.flipped(again.epochs(5, 6)) != first

    def test_labels_stay_with_flipped_images(self):
        data = load_images((self.SOURCE, np.arange(1, 201)), labels=True, flip=True)
        for images, labels in data.train:
            np.testing.assert_array_equal(tf.reduce_max(images, (1, 2, 3)), labels)


class TestFolder:
    def test_a_corrupt_late_file_is_named_when_it_is_read(self, tmp_path):
        write_images(tmp_path, range(COUNT))
        data = load_images(tmp_path, batch_size=8)
        late = ids_of(data.train)[-1]
        (tmp_path / f"{late:03}.png").write_bytes(b"\x89PNG but no more")
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"unreadable.*{late:03}.png"):
            list(data.train)

    def test_construction_reads_the_first_file_alone(self, tmp_path):
        write_images(tmp_path, range(1))
        for i in range(1, COUNT):
            (tmp_path / f"{i:03}.png").touch()
        assert load_images(tmp_path).image_shape == (4, 4, 1)

    def test_a_file_that_vanished_is_named(self, tmp_path):
        write_images(tmp_path, range(COUNT))
        data = load_images(tmp_path)
        (tmp_path / "007.png").unlink()
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"007\.png.*NotFoundError"):
            [list(getattr(data, part)) for part in PARTS]

    def test_a_corrupt_first_file_is_named_at_once(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"unreadable image.*a\.png"):
            load_images(tmp_path)

    def test_a_file_of_another_size_is_named(self, tmp_path):
        write_images(tmp_path, range(COUNT))
        write_image(tmp_path / "007.png", np.zeros((5, 4, 1), np.uint8))
        data = load_images(tmp_path, validation_fraction=0, test_fraction=0)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_size.*\(5, 4, 1\).*007"):
            list(data.train)

    def test_image_size_crops_the_centre_and_averages(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 3), dtype=np.uint8)
        for i, image in enumerate(pixels):
            write_image(tmp_path / f"{i}.png", image)
        write_image(tmp_path / "tall.png", pixels[0].transpose(1, 0, 2))
        options = dict(validation_fraction=0, test_fraction=0)
        data = load_images(tmp_path, image_size=2, **options)
        centre = pixels[:, :, 2:6].astype(float).reshape(3, 2, 2, 2, 2, 3)
        wanted = np.round(centre.mean((2, 4)))
        wanted = [*wanted, wanted[0].transpose(1, 0, 2)]
        got = all_images(data.train)
        assert data.image_shape == (2, 2, 3)
        assert sorted(map(np.ndarray.tolist, got)) == sorted(map(np.ndarray.tolist, wanted))

    @pytest.mark.parametrize("kind", ["array", "tfds builder"])
    def test_image_size_resizes_every_source(self, kind, root):
        data = load(kind, root, image_size=2)
        assert data.image_shape == (2, 2, 1)
        assert all_images(data.train).shape[1:] == (2, 2, 1)
        assert sorted(chain(*part_ids(data).values())) == list(range(COUNT))

    @pytest.mark.parametrize(
        ("name", "encode"),
        [
            ("a.png", tf.io.encode_png),
            ("a.jpg", tf.io.encode_jpeg),
            ("a.JPEG", tf.io.encode_jpeg),
        ],
    )
    def test_formats(self, tmp_path, name, encode):
        image = np.full((6, 4, 3), 100, np.uint8)
        (tmp_path / name).write_bytes(encode(image).numpy())
        data = load_images(tmp_path, validation_fraction=0, test_fraction=0)
        np.testing.assert_allclose(all_images(data.train), image[None], atol=1)

    def test_alpha_is_dropped_and_grey_becomes_colour(self, tmp_path):
        write_image(tmp_path / "a.png", np.full((2, 2, 4), [1, 2, 3, 9], np.uint8))
        write_image(tmp_path / "b.png", np.full((2, 2, 2), [5, 9], np.uint8))
        data = load_images(tmp_path, validation_fraction=0, test_fraction=0)
        assert sorted(all_images(data.train)[:, 0, 0].tolist()) == [[1, 2, 3], [5, 5, 5]]

    def test_colour_among_grey_images_is_named(self, tmp_path):
        write_image(tmp_path / "a.png", np.zeros((2, 2, 1), np.uint8))
        write_image(tmp_path / "b.png", np.zeros((2, 2, 3), np.uint8))
        data = load_images(tmp_path, image_size=2, validation_fraction=0, test_fraction=0)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\(2, 2, 3\).*b\.png"):
            list(data.train)

    def test_other_files_and_hidden_ones_are_left_alone(self, tmp_path):
        write_images(tmp_path, range(COUNT))
        (tmp_path / "notes.txt").write_text("no image")
        (tmp_path / "._000.png").write_bytes(b"no image")
        write_images(tmp_path / ".thumbnails", range(3))
        data = load_images(tmp_path)
        assert sorted(chain(*part_ids(data).values())) == list(range(COUNT))

    @pytest.mark.parametrize("late", [False, True])
    def test_a_png_of_16_bits_is_named(self, tmp_path, late):
        write_images(tmp_path, range(COUNT))
        path = tmp_path / ("007.png" if late else "000.png")
        path.write_bytes(tf.io.encode_png(np.full((4, 4, 1), 700, np.uint16)).numpy())
        errors = (ValueError, tf.errors.InvalidArgumentError)
        with pytest.raises(errors, match=rf"8 bits.*{path.name}.*16 bits"):
            [list(getattr(load_images(tmp_path), part)) for part in PARTS]

    @pytest.mark.parametrize("frames", [1, 2])
    def test_an_animation_is_named(self, tmp_path, frames):
        image = pytest.importorskip("PIL.Image")
        first, *rest = [image.new("RGB", (4, 4), (50 * i, 9, 9)) for i in range(frames)]
        first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
        options = dict(validation_fraction=0, test_fraction=0)
        if frames == 1:
            assert load_images(tmp_path, **options).image_shape == (4, 4, 3)
        else:
            with pytest.raises(ValueError, match=r"a\.gif.*animation of 2 frames"):
                load_images(tmp_path, **options)

    @pytest.mark.parametrize("name", ["007.png", "folder"])
    def test_a_link_out_of_the_folder_is_refused(self, tmp_path, name):
        write_images(tmp_path / "elsewhere", range(3))
        inside = write_images(tmp_path / "inside", range(6))
        target = tmp_path / "elsewhere" / ("000.png" if name == "007.png" else "")
        (inside / name).symlink_to(target)
        with pytest.raises(ValueError, match=f"itself.*{name}.*link to.*elsewhere"):
            load_images(inside)

    def test_links_within_the_folder_and_to_it_are_followed(self, tmp_path):
        inside = write_images(tmp_path / "inside", range(6))
        (inside / "006.png").symlink_to(inside / "005.png")
        (tmp_path / "link").symlink_to(inside)
        data = load_images(tmp_path / "link", validation_fraction=0, test_fraction=0)
        assert len(ids_of(data.train)) == 7

    def test_a_class_of_the_test_split_alone_counts(self, tmp_path):
        write_images(tmp_path / "train" / "b", range(20))
        write_images(tmp_path / "test" / "a", range(20, 30))
        data = load_images(tmp_path, labels=True)
        assert data.num_classes == 2
        assert {int(y) for _, labels in data.train for y in labels} == {1}
        assert {int(y) for _, labels in data.test for y in labels} == {0}


class TestStreams:
    def test_construction_reads_few_examples(self):
        read = []

        def examples():
            for i in range(300):
                read.append(i)
                yield np.zeros((2, 2, 1), np.uint8)

        spec = tf.TensorSpec([2, 2, 1], tf.uint8)
        data = load_images(tf.data.Dataset.from_generator(examples, output_signature=spec))
        assert len(read) < 100
        assert sum(len(all_images(getattr(data, part))) for part in PARTS) == 300

    def test_values_out_of_range_are_found_when_read(self):
        images = np.zeros((50, 2, 2, 1), np.int32)
        images[-1] = 256
        data = load_images(tf.data.Dataset.from_tensor_slices(images))
        with pytest.raises(tf.errors.InvalidArgumentError, match="0 to 255"):
            [list(getattr(data, part)) for part in PARTS]

    def test_another_size_is_found_when_read(self):
        spec = tf.TensorSpec([None, None, 1], tf.uint8)
        dataset = tf.data.Dataset.from_generator(
            lambda: (np.zeros((2 + i // 50, 2, 1), np.uint8) for i in range(51)),
            output_signature=spec,
        )
        data = load_images(dataset)
        with pytest.raises(tf.errors.InvalidArgumentError, match="image_size"):
            [list(getattr(data, part)) for part in PARTS]

    def test_images_of_several_sizes_are_resized(self):
        spec = tf.TensorSpec([None, None, 1], tf.uint8)
        dataset = tf.data.Dataset.from_generator(
            lambda: (np.full((2 + i % 5, 3, 1), 7, np.uint8) for i in range(50)),
            output_signature=spec,
        )
        data = load_images(dataset, image_size=4)
        assert np.all(all_images(data.train) == 7)

    def test_tfds_reads_ranges(self, root, monkeypatch):
        builder, splits = tfds_builder(root), []
        as_dataset = builder.as_dataset
        monkeypatch.setattr(
            builder,
            "as_dataset",
            lambda split, **kwargs: splits.append(split) or as_dataset(split=split, **kwargs),
        )
        load_images(builder)
        assert sorted(splits) == ["train", "train[0:4]", "train[4:8]", "train[8:40]"]

    def test_tfds_with_plain_integer_labels(self, tmp_path):
        tfds = pytest.importorskip("tensorflow_datasets")
        features = tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(4, 4, 1)), "label": np.int64}
        )
        builder = tfds.dataset_builders.store_as_tfds_dataset(
            "plain",
            version="1.0.0",
            features=features,
            split_datasets={"train": dict_dataset()},
            data_dir=tmp_path,
        )
        assert load_images(builder, labels=True).num_classes == 3

    @pytest.mark.parametrize("by_name", [True, False])
    def test_tfds_downloads_when_asked(self, root, monkeypatch, by_name):
        tfds, prepared = pytest.importorskip("tensorflow_datasets"), tfds_builder(root)
        info = SimpleNamespace(splits={}, full_name="fake", disable_shuffling=False)
        builder = SimpleNamespace(
            info=info,
            as_dataset=prepared.as_dataset,
            download_and_prepare=lambda: info.splits.update(prepared.info.splits),
        )
        monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
        data = load_images("tfds:fake" if by_name else builder, download=True)
        assert len(ids_of(data.test)) == 4

    def test_tfds_never_downloads_unasked(self, tmp_path, monkeypatch):
        tfds = pytest.importorskip("tensorflow_datasets")
        monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", pytest.fail)
        with pytest.raises(ValueError, match=r"download=True.*mnist"):
            load_images("tfds:mnist", data_dir=tmp_path)
        with pytest.raises(ValueError, match=r"download=True.*mnist"):
            load_images(tfds.builder("mnist", data_dir=tmp_path))

    def test_tfds_looks_up_no_community_unasked(self, monkeypatch):
        monkeypatch.setattr(streams_module, "require", pytest.fail)
        with pytest.raises(ValueError, match=r"download=True.*huggingface:mnist"):
            load_images("tfds:huggingface:mnist")


class TestPackages:
    @pytest.mark.parametrize(
        ("source", "module"),
        [("digits", "sklearn.datasets"), ("tfds:mnist", "tensorflow_datasets")],
    )
    def test_a_missing_package_names_the_extra(self, source, module, monkeypatch):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=r'pip install "tfp-glow\[train\]"'):
            load_images(source)

    @pytest.mark.slow
    def test_import_needs_no_extra(self):
        code = (
            "import sys, tfp_glow.data as data, numpy as np\n"
            "data.load_images(np.zeros((9, 2, 2), int))\n"
            "assert not {'sklearn.datasets', 'tensorflow_datasets'} & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


def with_nan():
    images = IMAGES.astype(float)
    images[3, 0, 0, 0] = np.nan
    return images


def stream_of(*tensors):
    return tf.data.Dataset.from_tensor_slices(tensors if len(tensors) > 1 else tensors[0])


BAD_SOURCES = {
    "NaN": (with_nan, {}, ValueError, "source.*NaN.*1"),
    "floats": (lambda: IMAGES / 255, {}, TypeError, r"integers.*astype\('uint8'\).*float64"),
    "bools": (lambda: IMAGES > 3, {}, TypeError, "integers.*bool"),
    "objects": (lambda: IMAGES.astype(object), {}, TypeError, "integers.*object"),
    "too large": (lambda: IMAGES.astype(int) + 250, {}, ValueError, "0 to 255.*289"),
    "negative": (lambda: IMAGES.astype(int) - 3, {}, ValueError, "negative.*-3"),
    "rank 2": (lambda: IMAGES[0, ..., 0], {}, ValueError, r"\[N, H, W, C\].*\(4, 4\)"),
    "rank 5": (lambda: IMAGES[None], {}, ValueError, r"\[N, H, W, C\].*\(1, 40, 4, 4, 1\)"),
    "empty": (lambda: IMAGES[:0], {}, ValueError, r"empty.*\(0, 4, 4, 1\)"),
    "too few": (lambda: IMAGES[:2], {}, ValueError, "too few images.*2"),
    "no labels": (lambda: IMAGES, {"labels": True}, ValueError, "labels=True.*source"),
    "fewer labels": (lambda: (IMAGES, LABELS[1:]), {}, ValueError, r"40 images.*\(39,\)"),
    "more labels": (lambda: (IMAGES[1:], LABELS), {}, ValueError, r"39 images.*\(40,\)"),
    "one-hot labels": (lambda: (IMAGES, np.eye(40)), {}, ValueError, r"label.*\(40, 40\)"),
    "float labels": (lambda: (IMAGES, LABELS / 2), {}, TypeError, "labels.*integers.*float64"),
    "negative labels": (lambda: (IMAGES, LABELS - 1), {}, ValueError, "labels.*negative.*-1"),
    "large labels": (
        lambda: (IMAGES, LABELS + 2**40),
        {"labels": True},
        ValueError,
        "labels.*at most 2147483647.*1099511627778",
    ),
    "stream of large labels": (
        lambda: stream_of(IMAGES, LABELS + 2**40),
        {"labels": True},
        tf.errors.InvalidArgumentError,
        "labels of source must be at most 2147483647",
    ),
    "stream of floats": (lambda: stream_of(IMAGES / 255), {}, TypeError, "integers.*float64"),
    "stream of text": (lambda: stream_of(["a", "b"]), {}, TypeError, "integers"),
    "stream of batches": (
        lambda: stream_of(IMAGES).batch(4),
        {},
        ValueError,
        r"unbatch\(\).*\(4, 4, 4, 1\)",
    ),
    "stream too large": (
        lambda: stream_of(IMAGES + np.int32(300)),
        {},
        ValueError,
        "0 to 255.*300",
    ),
    "stream of vectors": (lambda: stream_of(IMAGES[:, 0, :, 0]), {}, ValueError, r"\[H, W\]"),
    "empty stream": (lambda: stream_of(IMAGES).take(0), {}, ValueError, "empty"),
    "endless stream": (lambda: stream_of(IMAGES).repeat(), {}, ValueError, "infinite"),
    "short stream": (lambda: stream_of(IMAGES).take(1), {}, ValueError, "too few images"),
    "stream of triples": (
        lambda: stream_of(IMAGES, LABELS, LABELS),
        {},
        TypeError,
        "images, pairs or dicts",
    ),
    "stream of other dicts": (
        lambda: tf.data.Dataset.from_tensor_slices({"pixels": IMAGES}),
        {},
        TypeError,
        "key 'image'.*pixels",
    ),
    "stream without labels": (
        lambda: stream_of(IMAGES),
        {"labels": True},
        ValueError,
        "labels=True.*TensorSpec",
    ),
    "stream of float labels": (
        lambda: stream_of(IMAGES, LABELS / 2),
        {"labels": True},
        TypeError,
        "labels of source.*float64",
    ),
    "stream of one-hot labels": (
        lambda: stream_of(IMAGES, np.eye(40, dtype=int)),
        {"labels": True},
        ValueError,
        r"scalars.*\(40,\)",
    ),
    "stream of negative labels": (
        lambda: stream_of(IMAGES, LABELS - 1),
        {"labels": True},
        ValueError,
        "negative.*-1",
    ),
    "unknown name": (lambda: "mnist", {}, ValueError, "'digits'.*Received: 'mnist'"),
    "missing folder": (lambda: "no/such/folder", {}, ValueError, "exists.*no/such/folder"),
    "missing file": (lambda: "no/such.npz", {}, ValueError, "existing file.*no/such.npz"),
    "unknown tfds name": (lambda: "tfds:no_such_set", {}, ValueError, "name.*tfds:no_such_set"),
    "empty tfds name": (lambda: "tfds:", {}, ValueError, "name.*'tfds:'"),
    "number": (lambda: 3, {}, TypeError, "source must be.*int"),
    "none": (lambda: None, {}, TypeError, "source must be.*NoneType"),
    "keras tuples": (lambda: ((IMAGES, LABELS),) * 2, {}, TypeError, "source must be.*tuple"),
}
BAD_ARGUMENTS = [
    ("batch_size", 0, ValueError, "batch_size must be at least 1. Received: 0"),
    ("batch_size", 2.0, TypeError, "batch_size must be an int. Received: 2.0"),
    ("batch_size", True, TypeError, "batch_size must be an int. Received: True"),
    ("num_bits", 0, ValueError, "num_bits must be from 1 to 8. Received: 0"),
    ("num_bits", 9, ValueError, "num_bits must be from 1 to 8. Received: 9"),
    ("num_bits", "5", TypeError, "num_bits must be an int. Received: '5'"),
    ("image_size", 0, ValueError, "image_size must be at least 1. Received: 0"),
    ("image_size", (8, 8), TypeError, r"image_size must be an int. Received: \(8, 8\)"),
    ("seed", -1, ValueError, "seed must be from 0 .* Received: -1"),
    ("seed", None, TypeError, "seed must be an int. Received: None"),
    ("flip", 1, TypeError, "flip must be a bool. Received: 1"),
    ("labels", "yes", TypeError, "labels must be a bool. Received: 'yes'"),
    ("download", None, TypeError, "download must be a bool. Received: None"),
    ("validation_fraction", 1.0, ValueError, r"validation_fraction must be in \[0, 1\).*1.0"),
    ("validation_fraction", -0.1, ValueError, r"validation_fraction must be in \[0, 1\).*-0.1"),
    ("test_fraction", float("nan"), ValueError, r"test_fraction must be in \[0, 1\).*nan"),
    ("test_fraction", "0.1", TypeError, "test_fraction must be a number. Received: '0.1'"),
    ("test_fraction", 0.95, ValueError, r"below 1. Received: 0.1 \+ 0.95"),
]


class TestErrors:
    @pytest.mark.parametrize("case", BAD_SOURCES)
    def test_bad_sources(self, case, tmp_path):
        make, options, error, match = BAD_SOURCES[case]
        with pytest.raises(error, match=match):
            load_images(make(), data_dir=tmp_path, **options)

    @pytest.mark.parametrize(("argument", "value", "error", "match"), BAD_ARGUMENTS)
    def test_bad_arguments(self, argument, value, error, match):
        with pytest.raises(error, match=match):
            load_images(IMAGES, **{argument: value})

    def test_truncated_npz(self, root, tmp_path):
        path = tmp_path / "cut.npz"
        path.write_bytes((root / "all.npz").read_bytes()[:-50])
        with pytest.raises(ValueError, match=r"readable \.npz.*cut\.npz"):
            load_images(path)

    def test_damaged_npz(self, root, tmp_path):
        path = tmp_path / "damaged.npz"
        content = bytearray((root / "all.npz").read_bytes())
        content[300:310] = b"\xff" * 10
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"readable \.npz.*damaged\.npz"):
            load_images(path)

    @pytest.mark.parametrize("write", [np.save, lambda f, x: f.write(b"text")], ids=["npy", "text"])
    def test_other_files_named_npz(self, write, tmp_path):
        path = tmp_path / "other.npz"
        with path.open("wb") as file:
            write(file, IMAGES)
        with pytest.raises(ValueError, match=r"readable \.npz.*other\.npz"):
            load_images(path)

    def test_pickles_are_not_loaded(self, tmp_path):
        np.savez(tmp_path / "a.npz", x_train=np.array([{}], object))
        with pytest.raises(ValueError, match="allow_pickle=False"):
            load_images(tmp_path / "a.npz")

    def test_npz_without_training_images(self, tmp_path):
        np.savez(tmp_path / "a.npz", x_test=IMAGES)
        with pytest.raises(ValueError, match=r"train split.*a\.npz.*test"):
            load_images(tmp_path / "a.npz")

    def test_npz_without_labels(self, tmp_path):
        np.savez(tmp_path / "a.npz", x_train=IMAGES, x_test=IMAGES, y_train=LABELS)
        with pytest.raises(ValueError, match=r"labels=True.*a\.npz \(test\)"):
            load_images(tmp_path / "a.npz", labels=True)

    def test_npz_of_two_shapes(self, tmp_path):
        np.savez(tmp_path / "a.npz", x_train=IMAGES, x_test=IMAGES[:, :3])
        with pytest.raises(ValueError, match=r"one shape.*\(4, 4, 1\).*\(3, 4, 1\)"):
            load_images(tmp_path / "a.npz")

    def test_folder_without_images(self, tmp_path):
        (tmp_path / "notes.txt").touch()
        with pytest.raises(ValueError, match=f"must hold images.*{tmp_path.name}"):
            load_images(tmp_path)

    def test_split_folder_without_images(self, tmp_path):
        write_images(tmp_path / "train", range(3))
        (tmp_path / "test").mkdir()
        with pytest.raises(ValueError, match=r"must hold images.*test'"):
            load_images(tmp_path)

    def test_flat_folder_has_no_labels(self, root):
        with pytest.raises(ValueError, match=r"labels=True.*flat.*no class folder"):
            load_images(root / "flat", labels=True)

    def test_stray_image_beside_class_folders_has_no_label(self, root, tmp_path):
        folder = shutil.copytree(root / "classes", tmp_path / "classes")
        write_image(folder / "stray.png", IMAGES[0])
        with pytest.raises(ValueError, match=r"labels=True.*no class folder"):
            load_images(folder, labels=True)

    def test_file_that_is_no_source(self, root):
        with pytest.raises(ValueError, match=r"source must be.*000\.png"):
            load_images(root / "flat" / "000.png")

    def test_tfds_without_images(self, tmp_path):
        tfds = pytest.importorskip("tensorflow_datasets")
        builder = tfds.dataset_builders.store_as_tfds_dataset(
            "text",
            version="1.0.0",
            features=tfds.features.FeaturesDict({"text": np.int64}),
            split_datasets={"train": tf.data.Dataset.from_tensor_slices({"text": [1, 2]})},
            data_dir=tmp_path,
        )
        with pytest.raises(TypeError, match=r"'train' of text/1.0.0.*key 'image'"):
            load_images(builder)

    def test_tfds_without_a_train_split(self, tmp_path):
        builder = store_with_tfds(tmp_path, "rest", {"unsupervised": dict_dataset()})
        with pytest.raises(ValueError, match=r"train split.*rest.*unsupervised"):
            load_images(builder)
