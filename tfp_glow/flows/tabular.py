"""A flow on the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_glow.bijectors import Standardized
from tfp_glow.columns import Column
from tfp_glow.flow import Flow
from tfp_glow.flows.recipe import recipe

__all__ = ["tabular"]


@recipe()
def tabular(flow: Flow, columns: Sequence[Column], *, targets: Sequence[Column] = ()) -> Flow:
    """The density of a table's rows in the units of its columns, by a flow of standardized ones.

        log p(x given c) = log q((x - mean) / deviation given c) - sum(log(deviation))

    in nats, q being the density of `flow`, and c standardized likewise. The columns are saved with
    the flow; see `Standardized`.

    Args:
      flow: A flow on as many values as there are columns, trained or not. Its variables are shared.
      columns: The columns of which it is the density, with their statistics in training.
      targets: The columns that it is conditioned on, as many as the flow's `condition_size`.

    Returns:
      A `Flow` on the same data, whose condition is a row's targets in their own units.

    Raises:
      TypeError: If `flow` is no Flow, or a column no `Column`.
      ValueError: If the columns are not as many as the flow's values, or the targets not as many as
        those of its condition.

    Example:

        data = load_table("winequality-red.csv", target="quality")
        flow = tabular(maf(11, condition_size=1), data.columns, targets=data.targets)
        FlowModel(flow).fit(data.train, ...)
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow. Received: {flow!r}.")
    for argument, values in (("columns", columns), ("targets", targets)):
        if not all(isinstance(column, Column) for column in values):
            raise TypeError(f"{argument} must hold Columns. Received: {values!r}.")
    if tuple(flow.event_shape) != (len(columns),):
        raise ValueError(
            f"columns must be one for each value of a flow on {tuple(flow.event_shape)}. "
            f"Received: {len(columns)}."
        )
    if flow.condition_shape != ((len(targets),) if targets else None):
        raise ValueError(
            "targets must be one for each value of the flow's condition of shape "
            f"{flow.condition_shape}. Received: {len(targets)}."
        )
    statistics = {}
    if targets:
        statistics = {
            "condition_mean": [column.mean for column in targets],
            "condition_deviation": [column.deviation for column in targets],
        }
    bijector = Standardized(
        flow.bijector,
        [column.mean for column in columns],
        [column.deviation for column in columns],
        **statistics,
    )
    return Flow(flow.distribution, bijector, name="tabular")
