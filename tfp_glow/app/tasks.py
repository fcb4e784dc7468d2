"""The tasks that a run can have."""

from __future__ import annotations

import keras

from tfp_glow.app.classify_task import Classify
from tfp_glow.app.density_task import Density
from tfp_glow.app.table_task import TableDensity
from tfp_glow.app.task import Sampler, Task
from tfp_glow.app.vae_task import Autoencode

__all__ = ["SAMPLERS", "TASKS", "task_of"]

TASKS: dict[str, Task] = {
    task.name: task for task in (Density(), TableDensity(), Classify(), Autoencode())
}
SAMPLERS = tuple(name for name, task in TASKS.items() if isinstance(task, Sampler))


def task_of(model: keras.Model) -> Task | None:
    """The task that a model was trained for, None where it is of none."""
    return next((task for task in TASKS.values() if task.owns(model)), None)
