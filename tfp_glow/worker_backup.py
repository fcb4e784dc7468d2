"""A backup of a training by several workers."""

from __future__ import annotations

import os

import keras

from tfp_glow.replicas import is_first_worker

__all__ = ["WorkerBackup"]


class WorkerBackup(keras.callbacks.BackupAndRestore):
    """Keras' `BackupAndRestore`, which the first of several workers writes and all of them read.

    Where one worker dies, the collective operations of the others raise `UnavailableError` within
    half a minute. Start them all again, with the same script: they go on after the last epoch, or
    the last `save_freq` steps, that the first worker has written. With backups of their own,
    workers could go on from different epochs, and would wait for each other for ever.

    On one worker it is `BackupAndRestore`, whose arguments it takes.

    Args:
      backup_dir: A folder that all workers see; gone when the training has come to its end.
      **kwargs: As of `BackupAndRestore`.

    Example:

        model.fit(x, epochs=50, callbacks=[WorkerBackup("/shared/backup")])
    """

    def __init__(self, backup_dir: str | os.PathLike, **kwargs):
        super().__init__(backup_dir, **kwargs)

    def on_epoch_end(self, epoch, logs=None):
        if self._writes:
            super().on_epoch_end(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        if self._writes:
            super().on_train_batch_end(batch, logs)

    def on_train_end(self, logs=None):
        if self._writes:
            super().on_train_end(logs)

    @property
    def _writes(self) -> bool:
        return is_first_worker(self.model.distribute_strategy)
