"""A training run: from settings to a folder that holds the model and what it can do."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import platform
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow.app.callbacks import CtrlC, KeepBest, SaveEachEpoch, TensorBoardScalars
from tfp_glow.app.errors import UserError, blames_input
from tfp_glow.app.history import keep_epochs, validation_losses
from tfp_glow.app.lock import LOCK, sole_writer
from tfp_glow.app.model_file import read_model
from tfp_glow.app.pictures import draw_curves
from tfp_glow.app.plots import require_matplotlib
from tfp_glow.app.settings import Settings
from tfp_glow.app.strategies import new_strategy
from tfp_glow.app.task import Task
from tfp_glow.app.tasks import TASKS
from tfp_glow.files import remove_leftovers, replacing
from tfp_glow.fitting import StopWithoutLoss
from tfp_glow.replicas import is_first_worker, spans_workers

__all__ = ["Run", "model_of"]

CONFIG, MODEL, BEST, HISTORY = "config.json", "model.keras", "best.keras", "history.csv"
CURVES, EXPORT = "curves.png", "saved_model"
FILES = (CONFIG, MODEL, BEST, HISTORY, CURVES, EXPORT)
CHANGEABLE = ("epochs", "data_dir", "download", "jit_compile", "strategy")


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run and the folder it writes.

    | file | content |
    | --- | --- |
    | `config.json` | settings and versions |
    | `model.keras` | the model and its optimizer, written anew each epoch |
    | `best.keras` | the same after the epoch of the lowest validation loss, which all else is of |
    | `history.csv`, `tensorboard/` | metrics of training and validation by epoch |
    | `saved_model/` | the best model for TensorFlow alone; see `export_saved_model` for flows |
    | `curves.png` | the learning curves |
    | `samples.png`, `reconstructions.png`, `interpolation.png` | pictures of a flow |
    | `neighbors.png` | samples beside the nearest training images |
    | `samples.png`, `reconstructions.png` | pictures of an autoencoder |
    | `pairs.png`, `calibration.png` | pictures of a flow on a table |
    | `confusion.png` | which classes a classifier takes for which |
    | `reconstructions.png` | images computed back from the features of an i-RevNet |

    Args:
      settings: Its settings.
      folder: Where to write; an empty folder or none yet, unless the run is resumed.
      resumed: Whether it is one to continue; `Run.resume` makes such.

    Example:

        run = Run(Settings(epochs=5), pathlib.Path("runs/digits"))
        test_bits_per_dim = run.train()
        Run.resume("runs/digits", epochs=10).train()
    """

    settings: Settings
    folder: pathlib.Path
    resumed: bool = False

    @classmethod
    def resume(cls, folder: str | os.PathLike, **changes) -> Run:
        """A run to continue, with its own settings.

        Args:
          folder: What an earlier run wrote.
          **changes: New values of `epochs`, `data_dir`, `download`, `jit_compile` and `strategy`.

        Raises:
          UserError: If the folder holds no run, or another setting differs from the run's.
        """
        folder = pathlib.Path(folder)
        if not (folder / CONFIG).is_file():
            raise UserError(
                f"output must hold a run to resume. Received: {str(folder)!r}, "
                f"which has no {CONFIG}."
            )
        settings = Settings.load(folder / CONFIG)
        for name, value in changes.items():
            if name not in CHANGEABLE and value != getattr(settings, name):
                raise UserError(
                    f"{name} of a resumed run cannot change from {getattr(settings, name)!r}. "
                    f"Received: {value!r}."
                )
        with blames_input():
            settings = dataclasses.replace(settings, **changes)
        return cls(settings, folder, resumed=True)

    @property
    def task(self) -> Task:
        """What the model is trained for."""
        return TASKS[self.settings.task]

    @property
    def config_file(self) -> pathlib.Path:
        """Where the settings are."""
        return self.folder / CONFIG

    @property
    def model_file(self) -> pathlib.Path:
        """Where the model is."""
        return self.folder / MODEL

    def train(self, *, verbose: int | str = "auto", report: Callable = print) -> float | None:
        """Trains from where the run stands, and writes all files of the folder.

        A run that was ended in the middle of an epoch does that epoch again when it is resumed, and
        comes to the same model as one that was not, to the last bit on the same machine.

        Where several workers train, each calls this, with a folder that all of them see. The first
        one writes it, and the others read there what they go on from.

        Args:
          verbose: As in `keras.Model.fit`.
          report: Called with lines of text on what happens.

        Returns:
          What the task measures on the test data: bits per dimension, nats, or the accuracy. None
          on all workers but the first.

        Raises:
          UserError: If the folder is another run's, or the data have no validation or test part,
            or the run has more epochs behind it than it is to have, or the loss is no longer
            finite, or the strategy cannot be had here.
        """
        self._check_new()  # On all workers, before the first one writes anything.
        strategy = new_strategy(self.settings.strategy, report)
        if not is_first_worker(strategy):
            self._train(strategy, verbose, report)
            return None
        with sole_writer(self.folder):
            for name in (*FILES, *self.task.pictures):
                remove_leftovers(self.folder / name)
            self._check_new()  # No other run may have begun before the lock was taken.
            data, batches = self._train(strategy, verbose, report)
            return self._finish(data, batches, report)

    def _check_new(self) -> None:
        if self.resumed or not self.folder.exists():
            return
        if self.config_file.exists():
            holds = "holds a run; --resume continues it"
        elif {path.name for path in self.folder.iterdir()} - {LOCK}:
            holds = "exists and holds no run of tfp-glow"
        else:
            return
        raise UserError(
            f"output must be a new folder. Received: {str(self.folder)!r}, which {holds}."
        )

    def _train(
        self, strategy: tf.distribute.Strategy, verbose: int | str, report: Callable
    ) -> tuple[Any, int]:
        """What all workers do; returns the data and the number of batches in an epoch."""
        with blames_input():
            require_matplotlib()
        data = self.task.load(self.settings)
        self.task.check_trainable(data)
        batches = _length(data.train)
        with strategy.scope():
            model = self._model(data, batches)
        done = int(model.optimizer.iterations.numpy()) // batches
        if done > self.settings.epochs:
            raise UserError(
                f"epochs must be at least {done}, which the run has behind it. "
                f"Received: {self.settings.epochs}."
            )
        if is_first_worker(strategy):
            keep_epochs(self.folder / HISTORY, done, self.task.curves_of(self.settings))
            self._write_config()
        losses = validation_losses(self.folder / HISTORY, done)
        keep_best = KeepBest(self.folder / BEST, losses, self.settings.patience)
        if done < self.settings.epochs and not keep_best.out_of_patience:
            report(self._headline(model, data, done))
            self._fit(model, data, done, batches, keep_best, verbose)
        return data, batches

    def _finish(self, data: Any, batches: int, report: Callable) -> float:
        """Writes what shows the best model, and returns how good it is."""
        model = read_model(model_of(self.folder), self.settings.task)
        best = int(model.optimizer.iterations) // batches
        report(f"Training is over. Pictures and the SavedModel of epoch {best}, the best, follow.")
        draw_curves(self.folder / HISTORY, self.folder / CURVES, self.task.curves_of(self.settings))
        self.task.draw(model, data, self.folder, seed=self.settings.seed)
        with replacing(self.folder / EXPORT) as temporary:
            self.task.export(model, temporary)
        return self.task.measure(model, data.test)

    def _model(self, data: Any, batches: int) -> keras.Model:
        """The model as the run left it, or a new one, compiled for the epochs to come."""
        settings = self.settings
        schedule = _learning_rate(settings, batches)
        if self.model_file.is_file():
            model = read_model(self.model_file, settings.task)
            optimizer = model.optimizer
            optimizer.learning_rate = schedule
        else:
            with blames_input():
                model = self.task.new_model(settings, data)
            decay = settings.weight_decay or None
            optimizer = keras.optimizers.Adamax(schedule, weight_decay=decay)
        jit_compile = "auto" if settings.jit_compile is None else settings.jit_compile
        model.compile(optimizer, jit_compile=jit_compile, **self.task.compile_options())
        return model

    def _fit(
        self, model: keras.Model, data: Any, done: int, batches: int, keep_best, verbose
    ) -> None:
        keras.utils.set_random_seed(self.settings.seed)
        callbacks = [StopWithoutLoss(), keep_best]
        if is_first_worker(model.distribute_strategy):
            callbacks = [
                keras.callbacks.CSVLogger(self.folder / HISTORY, append=True),
                TensorBoardScalars(self.folder / "tensorboard"),
                *callbacks,
                SaveEachEpoch(self.model_file),
            ]
        with CtrlC() as ctrl_c:
            model.fit(
                _epochs(model.distribute_strategy, data, done, self.settings.epochs),
                validation_data=data.validation,
                initial_epoch=done,
                epochs=self.settings.epochs,
                steps_per_epoch=batches,
                callbacks=[*callbacks, ctrl_c],
                shuffle=False,  # The data set shuffles itself, and Keras warns about True.
                verbose=verbose,
            )

    def _write_config(self) -> None:
        versions = {module.__name__: module.__version__ for module in (tfp_glow, tf, tfp, keras)}
        config = {
            "settings": dataclasses.asdict(self.settings),
            "versions": {**versions, "python": platform.python_version()},
        }
        with replacing(self.config_file) as temporary:
            temporary.write_text(json.dumps(config, indent=2) + "\n")

    def _headline(self, model: keras.Model, data: Any, done: int) -> str:
        settings, parameters = self.settings, model.count_params()
        progress = f"from epoch {done + 1} of {settings.epochs}" if done else "from the start"
        return (
            f"Training {settings.architecture} ({parameters:,} parameters) on {settings.data} "
            f"({self.task.describe_data(data)}) {progress}. "
            "The first batch takes longer: TensorFlow traces the graph."
        )


def _epochs(strategy: tf.distribute.Strategy, data: Any, start: int, stop: int) -> Iterable:
    """The training batches, of which each worker reads its own where the data can be shared so."""
    of_worker = getattr(data, "worker_epochs", None)
    if of_worker is None or not spans_workers(strategy):
        return data.epochs(start, stop)
    with blames_input():
        return strategy.distribute_datasets_from_function(
            lambda context: of_worker(context, start, stop)
        )


def _learning_rate(settings: Settings, batches: int):
    """Up from 0 in a straight line, then constant, or down to 0 along a cosine."""
    total = settings.epochs * batches
    warmup = min(settings.warmup_epochs * batches, total // 2)
    if settings.schedule == "constant":
        return keras.optimizers.schedules.PolynomialDecay(
            0.0, max(warmup, 1), end_learning_rate=settings.learning_rate
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0, total - warmup, warmup_target=settings.learning_rate, warmup_steps=warmup
    )


def model_of(folder: pathlib.Path) -> pathlib.Path:
    """The file of a run's best model, or of its latest where it has none, as runs of 0.1.0."""
    return folder / BEST if (folder / BEST).is_file() else folder / MODEL


def _length(batches: tf.data.Dataset) -> int:
    known = int(batches.cardinality())
    return known if known >= 0 else sum(1 for _ in batches)
