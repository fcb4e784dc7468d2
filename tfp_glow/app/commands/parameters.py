"""Arguments and options that several commands have."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

__all__ = ["Data", "DataDir", "Download", "RunPath", "Seed"]

Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of all that is random.")]
RunPath = Annotated[
    pathlib.Path,
    typer.Argument(metavar="RUN", help="Folder of a run, or a .keras file.", show_default=False),
]
Data = Annotated[
    str | None,
    typer.Option(help="Source of the data, as for train; that of the run when omitted."),
]
DataDir = Annotated[str | None, typer.Option(help="Folder of tensorflow-datasets.")]
Download = Annotated[bool, typer.Option("--download", help="Allow to download the data.")]
