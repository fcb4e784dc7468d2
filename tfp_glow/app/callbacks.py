"""Keras callbacks of a training run."""

from __future__ import annotations

import os
import pathlib
import signal
import threading
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfp_glow.app.history import epochs_since_best
from tfp_glow.files import replacing
from tfp_glow.replicas import is_first_worker

__all__ = ["CtrlC", "KeepBest", "SaveEachEpoch", "TensorBoardScalars"]


class CtrlC(keras.callbacks.Callback):
    """Ends training by KeyboardInterrupt after the batch in which Ctrl-C is pressed.

    Without it the exception is raised wherever Python is at the time, and lost where that is
    a destructor or a function that C++ calls. A second Ctrl-C is raised at once. In other
    threads than the main one, which get no signals, it does nothing.

    Example:

        with CtrlC() as ctrl_c:
            model.fit(images, epochs=9, callbacks=[ctrl_c])
    """

    def __enter__(self) -> CtrlC:
        self._pressed = False
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        if self._in_main_thread:
            self._usual = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_):
        if self._in_main_thread:
            signal.signal(signal.SIGINT, self._usual)

    def _press(self, number, frame):
        self._pressed = True
        signal.signal(signal.SIGINT, self._usual)

    def on_train_batch_end(self, batch, logs=None):
        if self._pressed:
            raise KeyboardInterrupt


class KeepBest(keras.callbacks.Callback):
    """Saves the model when its validation loss is the lowest yet; ends training that finds none.

    Of several workers the first one saves it, and all end alike.

    Args:
      path: A `.keras` file.
      losses: The validation losses of the epochs before, of a run that goes on.
      patience: Epochs without a lower loss after which training ends; None for any number.

    Example:

        model.fit(images, validation_data=others, callbacks=[KeepBest("best.keras", [], 5)])
    """

    def __init__(self, path: str | os.PathLike, losses: Sequence[float], patience: int | None):
        super().__init__()
        self._path, self._losses, self._patience = pathlib.Path(path), list(losses), patience

    @property
    def out_of_patience(self) -> bool:
        """Whether training is to end, or had ended before."""
        return self._patience is not None and epochs_since_best(self._losses) >= self._patience

    def on_epoch_end(self, epoch, logs=None):
        self._losses.append(logs["val_loss"])
        if epochs_since_best(self._losses) == 0 and is_first_worker(self.model.distribute_strategy):
            _save(self.model, self._path)
        if self.out_of_patience:
            self.model.stop_training = True


class SaveEachEpoch(keras.callbacks.Callback):
    """Saves the model at the end of each epoch.

    How far it is, its optimizer's `iterations` tell.

    Args:
      path: A `.keras` file.

    Example:

        model.fit(images, epochs=9, callbacks=[SaveEachEpoch("model.keras")])
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self._path = pathlib.Path(path)

    def on_epoch_end(self, epoch, logs=None):
        _save(self.model, self._path)


class TensorBoardScalars(keras.callbacks.Callback):
    """Logs the metrics of each epoch for TensorBoard, which need not be installed.

    Args:
      folder: Folder of the logs, with one for training and one for validation inside.

    Example:

        model.fit(images, epochs=9, callbacks=[TensorBoardScalars("tensorboard")])
    """

    def __init__(self, folder: str | os.PathLike):
        super().__init__()
        self._folder = pathlib.Path(folder)
        self._writers = {}

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            part = "validation" if name.startswith("val_") else "train"
            with self._writer(part).as_default():
                _write_scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, part: str):
        if part not in self._writers:
            self._writers[part] = tf.summary.create_file_writer(str(self._folder / part))
        return self._writers[part]


def _save(model: keras.Model, path: pathlib.Path) -> None:
    """Saves a model whole or not at all."""
    with replacing(path) as temporary:
        model.save(temporary)


def _write_scalar(tag: str, value: float, step: int) -> None:
    """`tf.summary.scalar`, which needs the tensorboard package only for this metadata."""
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    metadata.data_class = 1  # DATA_CLASS_SCALAR
    tf.summary.write(tag, tf.constant(value, tf.float32), step=step, metadata=metadata)
