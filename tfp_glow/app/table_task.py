"""Learning the density of a table's rows."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.app.errors import UserError, blames_input
from tfp_glow.app.plots import save_figure
from tfp_glow.app.settings import Settings
from tfp_glow.app.table_plots import calibration_plot, pair_plot
from tfp_glow.app.table_rows import (
    columns_of,
    given_targets,
    in_units,
    log_probs,
    sample_rows,
    write_csv,
)
from tfp_glow.app.task import Sampler, Task
from tfp_glow.data import TableData, load_table
from tfp_glow.export import export_saved_model
from tfp_glow.flow import Flow
from tfp_glow.flows import tabular
from tfp_glow.model import FlowModel

__all__ = ["TableDensity"]

PAIRS, CALIBRATION = "pairs.png", "calibration.png"
DRAWN_ROWS = 2000


class TableDensity(Task, Sampler):
    """A `FlowModel` of a flow over rows in their own units, measured in nats."""

    name = "table"
    product = "a flow on a table"
    subject = "rows"
    curves = {"loss": "Minus log p, nats"}  # noqa: RUF012
    pictures = (PAIRS, CALIBRATION)
    samples_file = "samples.csv"

    def load(self, settings: Settings) -> TableData:
        with blames_input():
            return load_table(settings.data, **settings.table_options())

    def check_trainable(self, data: TableData) -> None:
        super().check_trainable(data)
        if min(int(data.validation.cardinality()), int(data.test.cardinality())) == 0:
            raise UserError("data must have rows enough for validation and test.")

    def describe_data(self, data: TableData) -> str:
        targets = f" given {', '.join(c.name for c in data.targets)}" if data.targets else ""
        return f"{len(data.columns)} columns{targets}"

    def check_fits(self, model: FlowModel, data: TableData, source: str) -> None:
        expected = _names(columns_of(model.distribution))
        received = _names((data.columns, data.targets))
        if expected != received:
            raise UserError(
                f"data must have the columns {expected[0]} and the targets {expected[1]}. "
                f"Received: {source!r} with {received[0]} and {received[1]}."
            )

    def settings_for(self, model: FlowModel) -> Settings:
        columns, targets = _names(columns_of(model.distribution))
        return Settings(task=self.name, columns=columns, target=targets or None)

    def owns(self, model: keras.Model) -> bool:
        flow = getattr(model, "distribution", None)
        recipe = flow.recipe if isinstance(flow, Flow) else None
        return recipe is not None and recipe["name"] == tabular.__name__

    def new_model(self, settings: Settings, data: TableData) -> FlowModel:
        condition = {"condition_size": len(data.targets)} if data.targets else {}
        flow = settings.build(len(data.columns), None, **condition)
        flow = tabular(flow, data.columns, targets=data.targets)
        return FlowModel(flow, seed=settings.seed)

    def compile_options(self) -> dict:
        return {}

    def measure(self, model: FlowModel, batches: tf.data.Dataset, *, seed: int = 0) -> float:
        return _nats(log_probs(model.distribution, batches))

    def describe(self, measured: float) -> str:
        return f"{measured:.4f} nats, minus log p in the columns' units"

    def evaluate(
        self, model: FlowModel, data: TableData, *, seed: int, output: pathlib.Path | None = None
    ) -> Iterator[str]:
        """Writes log p of each row to the output, a .csv file, if there is one."""
        densities = log_probs(model.distribution, data.test)
        yield self.found(_nats(densities))
        if output is not None:
            write_csv(output, {"row": data.test_rows + 1, "log_prob": densities})
            yield f"Wrote {output}."

    def sample(
        self,
        model: FlowModel,
        num: int,
        output: pathlib.Path,
        *,
        temperature: float,
        seed: int,
        given: Sequence[str] = (),
    ) -> None:
        """Writes rows to a .csv file, of the targets that are given as NAME=NUMBER."""
        columns, targets = columns_of(model.distribution)
        values = given_targets(targets, given)
        options = {"temperature": temperature, "targets": values, "seed": seed}
        rows = sample_rows(model.distribution, num, **options)
        conditions = {} if values is None else in_units(targets, np.tile(values, (num, 1)))
        write_csv(output, in_units(columns, rows) | conditions)

    def draw(
        self, model: FlowModel, data: TableData, folder: str | os.PathLike, *, seed: int
    ) -> None:
        flow, folder = model.distribution, pathlib.Path(folder)
        examples = data.test.unbatch().batch(DRAWN_ROWS)
        batch = next(iter(examples))
        x, condition = batch if isinstance(batch, tuple) else (batch, None)
        names = [column.name for column in data.columns]
        samples = sample_rows(flow, len(x), targets=condition, seed=seed)
        save_figure(pair_plot(x, samples, names), folder / PAIRS)
        uniforms = flow.distribution.distribution.cdf(flow.encode(x, condition))
        latents = [f"z{index + 1}" for index in range(uniforms.shape[-1])]
        save_figure(calibration_plot(uniforms, latents), folder / CALIBRATION)

    def export(self, model: FlowModel, path: str | os.PathLike) -> None:
        export_saved_model(model.distribution, path)


def _nats(densities: np.ndarray) -> float:
    return -float(np.mean(densities, dtype=np.float64))


def _names(columns) -> tuple[list[str], list[str]]:
    return tuple([column.name for column in part] for part in columns)
