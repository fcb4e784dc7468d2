"""The command line `tfp-glow`."""

from __future__ import annotations

import functools
import math
import pathlib
import shlex
import sys
from collections.abc import Callable
from typing import Annotated

import numpy as np

from tfp_glow import __version__
from tfp_glow.app import plots
from tfp_glow.app.errors import UserError, blames_input, user_message
from tfp_glow.app.generation import (
    bits_per_dim_of,
    direction_of_images,
    interpolate_images,
    manipulate_images,
    sample_images,
)
from tfp_glow.app.model_file import check_task
from tfp_glow.app.pictures import first_images, image_pairs
from tfp_glow.app.settings import Settings
from tfp_glow.app.table_rows import (
    columns_of,
    given_targets,
    in_units,
    log_probs,
    rank_rows,
    sample_rows,
    write_csv,
)
from tfp_glow.app.tasks import TASKS, task_of
from tfp_glow.app.trained import classes_for, load_group, load_model, load_model_and_data
from tfp_glow.app.translation import (
    draw_translation,
    load_domain_map,
    source_images,
    translate_images,
)
from tfp_glow.files import replacing

try:
    import typer
    from typer.core import TyperGroup

    from tfp_glow.app.command_options import takes_settings
    from tfp_glow.app.run import Run
except ImportError as missing:
    sys.stderr.write(f'Error: tfp-glow needs {missing.name}. pip install "tfp-glow[train]"\n')
    raise SystemExit(2) from missing

__all__ = ["app", "main"]


class _Group(TyperGroup):
    """Commands whose users' errors are one line each; errors of the program show where."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = user_message(error)
            if message is None:
                raise
            typer.echo(f"Error: {' '.join(message.split())}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def main() -> None:
    """Runs the command line."""
    app(prog_name="tfp-glow")


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


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tfp-glow {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
):
    """Trains normalizing flows on images and tables, and other models of images."""


@app.command()
@takes_settings
def train(
    given: dict,
    *,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Folder to write; runs/ARCHITECTURE-DATA when omitted.",
            rich_help_panel="Output",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in the output folder with its own settings. "
            "A larger --epochs prolongs it.",
            rich_help_panel="Output",
        ),
    ] = False,
):
    """Train a flow on images, by default Glow on scikit-learn's 8x8 digits, or another model.

    A table, as --data measurements.csv, is learned by a flow on its rows; --target names columns to
    condition on.

    What is not given is as it suits the digits. For 32x32 color images start from --levels 3
    --steps 32 --hidden-channels 512 --learning-rate 1e-3 --warmup-epochs 10 --weight-decay 0, on a
    GPU.

    --task classify trains a reversible classifier, --model names which. --task vae trains a
    variational autoencoder, --posterior and --prior name its flows; with --num-bits 1 its pixels
    are black or white.
    """
    folder = output or _settings(given).default_folder()
    # What is given to a run that goes on means something with its own settings alone.
    run = Run.resume(folder, **given) if resume else Run(_settings(given), folder)
    try:
        measured = run.train(verbose=1 if sys.stdout.isatty() else 2, report=typer.echo)
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted. {_how_to_go_on(run)}", err=True)
        raise typer.Exit(130) from None
    if measured is None:
        typer.echo(f"Training is over on this worker. The first one writes {folder}.")
        return
    found = run.task.describe(measured)
    typer.echo(f"Test {run.task.subject}: {found}. The model and its pictures are in {folder}.")


@app.command()
def evaluate(
    run: RunPath,
    data: Data = None,
    data_dir: DataDir = None,
    download: Download = False,
    importance_samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="Samples of the noise for the bound of an image, of a flow; 1 when omitted."
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Of a flow on images, a picture of how many have which bits per dimension; of one "
            "on a table, a .csv file with log p of each test row."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Source of other images to draw beside them in the picture.")
    ] = None,
    seed: Seed = 0,
):
    """Print how good a model is on the test data: bits per dimension, nats, or how many right."""
    model, found = load_model_and_data(run, data, data_dir=data_dir, download=download)
    name = task_of(model)
    task, options = TASKS[name], {}
    if output is not None and name not in ("density", "table"):
        raise UserError(f"output means nothing to the task {name!r}. Received: {str(output)!r}.")
    if against is not None and (output is None or name != "density"):
        raise UserError("against needs a flow on images, and the output to draw.")
    if importance_samples is not None:
        if name != "density":
            raise UserError(f"importance_samples means nothing to the task {name!r}.")
        options["num_samples"] = importance_samples
    measured = task.measure(model, found.test, seed=seed, **options)
    typer.echo(f"Test {task.subject}: {task.describe(measured)}")
    if output is not None and name == "table":
        densities = log_probs(model.distribution, found.test)
        write_csv(output, {"row": found.test_rows + 1, "log_prob": densities})
        typer.echo(f"Wrote {output}.")
    elif output is not None:
        sources = {"test images": found.test}
        if against is not None:
            options = {"data_dir": data_dir, "download": download}
            sources[against] = load_model_and_data(run, against, **options)[1].test
        bits = {
            what: bits_per_dim_of(model.distribution, batches, seed=seed)
            for what, batches in sources.items()
        }
        with blames_input():
            plots.save_figure(plots.plot_likelihoods(bits), output)
        typer.echo(f"Wrote {output}.")
    for line in task.remarks(model, found.test, seed=seed):
        typer.echo(line)


@app.command()
def sample(
    run: RunPath,
    num: Annotated[int, typer.Option(min=1, help="Number of images or rows.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="Factor of the noise.")] = 1.0,
    class_id: Annotated[
        int | None,
        typer.Option("--class", help="Class of the images; each in turn when omitted."),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0.0, help="Weight of guidance by the class, of tarflow.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER of a target of a table's rows; repeat it for each."),
    ] = None,
    seed: Seed = 0,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="A picture, or a .npz file of integers; samples.png when omitted. Of a table a "
            ".csv file with the same columns; samples.csv when omitted.",
            show_default=False,
        ),
    ] = None,
):
    """Draw new images, or rows of a table."""
    model, _ = load_model(run)
    if task_of(model) == "table":
        if class_id is not None or guidance is not None:
            raise UserError("class and guidance mean nothing to a flow on a table.")
        output = output or pathlib.Path("samples.csv")
        _sample_table(model.distribution, num, temperature, given or (), seed, output)
    else:
        if given:
            raise UserError(f"given needs a flow on a table. Received: {given}.")
        output = output or pathlib.Path("samples.png")
        distribution = check_task(model, "density", run).distribution
        _sample_images(distribution, num, temperature, class_id, guidance, seed, output)
    typer.echo(f"Wrote {output}.")


def _sample_images(distribution, num, temperature, class_id, guidance, seed, output) -> None:
    condition = classes_for(distribution, num, class_id)
    if guidance is not None and not distribution.flow.takes_guidance:
        raise UserError(f"guidance needs a tarflow with classes. Received: {guidance}.")
    options = {"condition": condition, "guidance": guidance, "seed": seed}
    (images,) = sample_images(distribution, num, temperatures=(temperature,), **options)
    columns = math.ceil(math.sqrt(num))
    rows = [images[start : start + columns] for start in range(0, num, columns)]
    labels = {} if condition is None else {"labels": condition}
    draw = functools.partial(plots.image_grid, rows, num_bins=distribution.num_bins)
    _write_images(output, draw, images=images, **labels)


def _sample_table(flow, num, temperature, given, seed, output) -> None:
    columns, targets = columns_of(flow)
    values = given_targets(targets, given)
    rows = sample_rows(flow, num, temperature=temperature, targets=values, seed=seed)
    conditions = {} if values is None else in_units(targets, np.tile(values, (num, 1)))
    write_csv(output, in_units(columns, rows) | conditions)


@app.command()
def anomalies(
    run: RunPath,
    data: Data = None,
    num: Annotated[int | None, typer.Option(min=1, help="How many; all when omitted.")] = None,
    output: Annotated[pathlib.Path, typer.Option(help="A .csv file.")] = pathlib.Path(
        "anomalies.csv"
    ),
):
    """Rank all rows of a table, the least likely one first."""
    model, found = load_model_and_data(run, data, data_dir=None, download=False, task="table")
    ranked = rank_rows(model.distribution, found.everything, num)
    write_csv(output, ranked)
    least = ", ".join(map(str, ranked["row"][:5]))
    typer.echo(f"The least likely rows are {least}. Wrote {output}.")


@app.command()
def interpolate(
    run: RunPath,
    data: Data = None,
    data_dir: DataDir = None,
    download: Download = False,
    pairs: Annotated[int, typer.Option(min=1, help="Number of pairs of test images.")] = 5,
    steps: Annotated[int, typer.Option(min=2, help="Images from one to the other.")] = 12,
    seed: Seed = 0,
    output: Annotated[pathlib.Path, typer.Option(help="A picture.")] = pathlib.Path(
        "interpolation.png"
    ),
):
    """Draw the paths between the latents of test images."""
    model, found = load_model_and_data(
        run, data, data_dir=data_dir, download=download, task="density"
    )
    start, end, labels = image_pairs(found.test, pairs, seed=seed)
    paths = interpolate_images(
        model.distribution, start, end, steps=steps, condition=labels, seed=seed
    )
    with blames_input():
        figure = plots.plot_interpolation(paths, num_bins=model.distribution.num_bins)
        plots.save_figure(figure, output)
    typer.echo(f"Wrote {output}.")


@app.command()
def manipulate(
    run: RunPath,
    group_with: Annotated[
        str, typer.Option("--with", help="Source of images with an attribute, as for train.")
    ],
    group_without: Annotated[
        str, typer.Option("--without", help="Source of images without the attribute.")
    ],
    data: Data = None,
    data_dir: DataDir = None,
    download: Download = False,
    strengths: Annotated[
        list[float],
        typer.Option(
            help="Factor of the way from the images without to those with; repeat it for each."
        ),
    ] = (-1.0, -0.5, 0.0, 0.5, 1.0),
    num: Annotated[int, typer.Option(min=1, help="Number of test images.")] = 8,
    seed: Seed = 0,
    output: Annotated[
        pathlib.Path, typer.Option(help="A picture, or a .npz file of integers.")
    ] = pathlib.Path("manipulated.png"),
):
    """Give test images more or less of an attribute that two groups of images differ in."""
    model, found = load_model_and_data(
        run, data, data_dir=data_dir, download=download, task="density"
    )
    distribution = model.distribution
    (images_with, labels_with), (images_without, labels_without) = (
        load_group(run, model, source, data_dir=data_dir, download=download)
        for source in (group_with, group_without)
    )
    direction = direction_of_images(
        distribution,
        images_with,
        images_without,
        condition_with=labels_with,
        condition_without=labels_without,
        seed=seed,
    )
    images, labels = first_images(found.test, num)
    with blames_input():
        altered = manipulate_images(
            distribution, images, direction, strengths, condition=labels, seed=seed
        )
    num_bins = distribution.num_bins
    draw = functools.partial(plots.plot_manipulation, altered, strengths, num_bins=num_bins)
    _write_images(output, draw, images=altered, strengths=strengths)
    typer.echo(f"Wrote {output}.")


@app.command()
def translate(
    model: Annotated[
        pathlib.Path,
        typer.Argument(help="A .keras file of a DomainMapModel.", show_default=False),
    ],
    data: Annotated[str, typer.Option(help="Source of the images, as for train.")],
    data_dir: DataDir = None,
    download: Download = False,
    back: Annotated[bool, typer.Option("--back", help="Map y to x, not x to y.")] = False,
    num: Annotated[int, typer.Option(min=1, help="Number of test images.")] = 12,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Factor of the latents that are not tied.")
    ] = 1.0,
    seed: Seed = 0,
    output: Annotated[
        pathlib.Path, typer.Option(help="A picture, or a .npz file of integers.")
    ] = pathlib.Path("translated.png"),
):
    """Map test images of one domain to the other."""
    found = load_domain_map(model)
    images = source_images(found, data, num, back=back, data_dir=data_dir, download=download)
    options = {"back": back, "temperature": temperature, "seed": seed}
    translated = translate_images(found, images, **options)
    draw = functools.partial(draw_translation, found, images, translated, back=back)
    _write_images(output, draw, images=images, translated=translated)
    typer.echo(f"Wrote {output}.")


@app.command()
def export(
    run: RunPath,
    path: Annotated[pathlib.Path, typer.Argument(help="Folder to write.", show_default=False)],
):
    """Write a SavedModel that TensorFlow alone loads and runs."""
    if path.exists():
        raise UserError(f"path must not exist yet. Received: {str(path)!r}, which does.")
    model, _ = load_model(run)
    TASKS[task_of(model)].export(model, path)
    typer.echo(f"Wrote {path}.")


def _write_images(output: pathlib.Path, draw: Callable, **arrays) -> None:
    """Writes arrays to a .npz file, or else the picture that `draw` makes."""
    if output.suffix == ".npz":
        with replacing(output) as temporary:
            np.savez_compressed(temporary, **arrays)
    else:
        with blames_input():
            plots.save_figure(draw(), output)


def _settings(given: dict) -> Settings:
    with blames_input():
        return Settings(**given)


def _how_to_go_on(run: Run) -> str:
    if not run.config_file.exists():
        return "Nothing was written yet."
    saved = f"The model is saved in {run.model_file}. " if run.model_file.exists() else ""
    return f"{saved}Continue with: tfp-glow train --output {shlex.quote(str(run.folder))} --resume"
