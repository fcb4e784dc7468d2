"""What a trained flow on a table does: densities of rows, and new rows, in the columns' units."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfp_glow.app.errors import UserError
from tfp_glow.columns import Column
from tfp_glow.core.modes import evaluation
from tfp_glow.files import replacing
from tfp_glow.flow import Flow

__all__ = [
    "columns_of",
    "given_targets",
    "in_units",
    "log_probs",
    "rank_rows",
    "sample_rows",
    "write_csv",
]

SAMPLES_AT_ONCE = 4096


def columns_of(flow: Flow) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """The columns and the targets of a flow that `flows.tabular` built."""
    arguments = flow.recipe["arguments"]
    return tuple(arguments["columns"]), tuple(arguments["targets"])


def log_probs(flow: Flow, batches: tf.data.Dataset) -> np.ndarray:
    """log p of each row in nats, float32.

    Args:
      flow: The flow.
      batches: Batches of rows, or of pairs of them and their targets.
    """

    @tf.function(input_signature=[batches.element_spec], autograph=False)
    def densities(batch):
        x, condition = batch if isinstance(batch, tuple) else (batch, None)
        with evaluation():
            return flow.log_prob(x, condition=condition)

    return np.concatenate([np.zeros([0], "float32"), *map(densities, batches)])


def sample_rows(
    flow: Flow, num: int, *, temperature: float = 1.0, targets=None, seed: int = 0
) -> np.ndarray:
    """New rows `[num, columns]`.

    Args:
      flow: The flow.
      num: How many.
      temperature: Factor of the latents.
      targets: The values of the targets, `[targets]` for all rows or `[num, targets]`.
      seed: Seed of the noise.
    """
    if targets is not None:
        targets = np.broadcast_to(np.asarray(targets, "float32"), (num, np.shape(targets)[-1]))
    parts = []
    for start in range(0, num, SAMPLES_AT_ONCE):
        count = min(SAMPLES_AT_ONCE, num - start)
        condition = None if targets is None else targets[start : start + count]
        options = {"temperature": temperature, "condition": condition, "seed": [seed, start]}
        parts.append(flow.sample(count, **options))
    return np.concatenate(parts)


def in_units(columns: Sequence[Column], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Values by the columns' names, whole numbers where the columns are of such."""
    return {
        column.name: np.floor(values + 0.5).astype(np.int64) if column.integer else values
        for column, values in zip(columns, np.asarray(rows).T, strict=True)
    }


def rank_rows(flow: Flow, batches: tf.data.Dataset, num: int | None) -> dict[str, np.ndarray]:
    """Columns of the least likely rows: which they are, from 1, log p in nats, and their values.

    Args:
      flow: The flow.
      batches: Batches of all rows.
      num: How many; all when None.
    """
    densities = log_probs(flow, batches)
    order = np.argsort(densities, kind="stable")[:num]
    columns, targets = columns_of(flow)
    values = np.zeros([len(order), len(columns) + len(targets)], "float32")
    rank_of, start = np.full(len(densities), -1), 0
    rank_of[order] = np.arange(len(order))
    for batch in batches.as_numpy_iterator():
        rows = np.concatenate(batch, -1) if isinstance(batch, tuple) else batch
        ranks = rank_of[start : start + len(rows)]
        values[ranks[ranks >= 0]] = rows[ranks >= 0]
        start += len(rows)
    return {
        "rank": np.arange(1, len(order) + 1),
        "row": order + 1,
        "log_prob": densities[order],
        **in_units((*columns, *targets), values),
    }


def given_targets(targets: Sequence[Column], given: Iterable[str]) -> np.ndarray | None:
    """The values `[targets]` of NAME=VALUE texts; None where there are no targets.

    Raises:
      UserError: If they are not one for each target.
    """
    values = {}
    for text in given:
        name, _, value = text.rpartition("=")
        try:
            values[name] = float(value)
        except ValueError:
            raise UserError(f"given must be NAME=NUMBER. Received: {text!r}.") from None
    names = [target.name for target in targets]
    if sorted(values) != sorted(names):
        wanted = f"have a value for each of {names}" if names else "be omitted: there is no target"
        raise UserError(f"given must {wanted}. Received: {values}.")
    return np.array([values[name] for name in names], "float32") if names else None


def write_csv(path: str | os.PathLike, columns: Mapping[str, Sequence]) -> None:
    """Writes columns of equal length under their names, whole or not at all."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
