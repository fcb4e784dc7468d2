"""Folders of image files, decoded one by one as they are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_glow.data.image_bytes import decode, like_the_first, unreadable
from tfp_glow.data.options import Options
from tfp_glow.data.parts import Indexed, Source, find_splits
from tfp_glow.data.validation import missing_labels

__all__ = ["read_folder"]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def read_folder(source, options: Options) -> Source:
    """Lists the images of a folder and decodes the first, which sets size and channels.

    Images lie in the folder itself or in one subfolder a class; where there is a subfolder
    `train`, this holds for it and for `validation` or `val` and `test`. Classes are numbered
    in the order of their names.
    """
    folders = _split_folders(Path(os.path.expanduser(source)))
    files = {part: _list_images(folder) for part, folder in folders.items()}
    image_shape = tuple(_decode(files["train"][0]).shape)
    # Images that will be resized may differ in size.
    expected = (None, None, image_shape[-1]) if options.image_size else image_shape
    classes = _classes(folders, files) if options.labels else None
    parts = {
        part: Indexed(np.arange(len(paths)), _loader(paths, expected, classes), image_shape)
        for part, paths in files.items()
    }
    return Source(parts, num_classes=classes and len(classes))


def _split_folders(root: Path) -> dict[str, Path]:
    names = [folder.name for folder in root.iterdir() if folder.is_dir()]
    if "train" not in names:
        return {"train": root}
    return {part: root / name for part, name in find_splits(names, f"'{root}'").items()}


def _list_images(folder: Path) -> list[Path]:
    found = [*folder.glob("[!.]*"), *folder.glob("[!.]*/[!.]*")]
    paths = sorted(path for path in found if path.suffix.lower() in EXTENSIONS)
    if not paths:
        raise ValueError(
            f"source must hold images ({', '.join(EXTENSIONS)}), in the folder or one level below. "
            f"Received: '{folder}'."
        )
    _check_links({*paths, *(path.parent for path in paths)} - {folder}, folder)
    return paths


def _check_links(paths: set[Path], folder: Path) -> None:
    """Raises where a link leads to what does not lie in the folder."""
    for path in sorted(paths):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                "source must hold its images itself. "
                f"Received: '{path}', a link to '{path.resolve()}'."
            )


def _classes(folders: dict[str, Path], files: dict[str, list[Path]]) -> dict[str, int]:
    for part, paths in files.items():
        if folders[part] in {path.parent for path in paths}:
            raise missing_labels(f"'{folders[part]}', which has images in no class folder")
    names = {path.parent.name for paths in files.values() for path in paths}
    return {name: number for number, name in enumerate(sorted(names))}


def _loader(paths: list[Path], expected: tuple, classes: dict[str, int] | None) -> Callable:
    names = tf.constant([os.fsencode(path) for path in paths])
    labels = classes and tf.constant([classes[path.parent.name] for path in paths])

    def load(index):
        # Only Python can add the file's name to an error of the decoder.
        image = tf.py_function(partial(_read, expected), [tf.gather(names, index)], tf.uint8)
        image.set_shape(expected)
        return (image,) if labels is None else (image, tf.gather(labels, index))

    return load


def _read(expected: tuple, name: tf.Tensor) -> tf.Tensor:
    path = os.fsdecode(name.numpy())
    return like_the_first(_decode(path), expected, f"'{path}'")


def _decode(path) -> tf.Tensor:
    try:
        content = tf.io.read_file(os.fspath(path)).numpy()
    except tf.errors.OpError as error:
        raise unreadable(f"'{path}'", error) from None
    return decode(content, f"'{path}'")
