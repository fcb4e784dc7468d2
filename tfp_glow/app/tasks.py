"""The tasks that a run can have."""

from __future__ import annotations

import keras

from tfp_glow.app.classify_task import Classify
from tfp_glow.app.density_task import Density
from tfp_glow.app.table_task import TableDensity
from tfp_glow.app.task import Task
from tfp_glow.app.vae_task import Autoencode

__all__ = ["TASKS", "task_of"]

TASKS: dict[str, Task] = {
    "density": Density(),
    "table": TableDensity(),
    "classify": Classify(),
    "vae": Autoencode(),
}


def task_of(model: keras.Model) -> str | None:
    """Name of the task that a model was trained for, None where it is of none."""
    return next((name for name, task in TASKS.items() if task.owns(model)), None)
