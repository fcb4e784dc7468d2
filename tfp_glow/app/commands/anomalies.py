"""`tfp-glow anomalies`."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from tfp_glow.app.commands.parameters import Data, RunPath
from tfp_glow.app.table_rows import rank_rows, write_csv
from tfp_glow.app.trained import load_trained

__all__ = ["anomalies"]


def anomalies(
    run: RunPath,
    data: Data = None,
    num: Annotated[int | None, typer.Option(min=1, help="How many; all when omitted.")] = None,
    output: Annotated[pathlib.Path, typer.Option(help="A .csv file.")] = pathlib.Path(
        "anomalies.csv"
    ),
):
    """Rank all rows of a table, the least likely one first."""
    trained = load_trained(run, "table")
    ranked = rank_rows(trained.model.distribution, trained.data(data).everything, num)
    write_csv(output, ranked)
    least = ", ".join(map(str, ranked["row"][:5]))
    typer.echo(f"The least likely rows are {least}. Wrote {output}.")
