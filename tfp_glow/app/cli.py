"""The command line `tfp-glow`."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import shlex
import sys
from typing import Annotated

import numpy as np
import tensorflow as tf

from tfp_glow import __version__
from tfp_glow.app import plots
from tfp_glow.app.generation import (
    estimates_deviation,
    interpolate_images,
    mean_bits_per_dim,
    sample_images,
)
from tfp_glow.app.pictures import image_pairs
from tfp_glow.app.run import Run, load_model
from tfp_glow.app.settings import FLOWS, Settings
from tfp_glow.data import ImageData, load_images
from tfp_glow.dequantization import Dequantized
from tfp_glow.export import export_saved_model
from tfp_glow.files import replacing

try:
    import typer
    from typer.core import TyperGroup
except ImportError as missing:
    sys.stderr.write('Error: tfp-glow needs typer. pip install "tfp-glow[train]"\n')
    raise SystemExit(2) from missing

__all__ = ["app", "main"]

ERRORS = (ValueError, TypeError, ImportError, OSError, tf.errors.InvalidArgumentError)
DEFAULTS = Settings()


class _Group(TyperGroup):
    """Commands whose errors are one line each."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except ERRORS as error:
            message = error.message if isinstance(error, tf.errors.OpError) else str(error)
            typer.echo(f"Error: {' '.join(message.split())}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def main() -> None:
    """Runs the command line."""
    app(prog_name="tfp-glow")


def _setting(text: str, panel: str, *names: str):
    return typer.Option(*names, help=text, rich_help_panel=panel)


Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of all that is random.")]
RunPath = Annotated[
    pathlib.Path,
    typer.Argument(metavar="RUN", help="Folder of a run, or a .keras file.", show_default=False),
]
Data = Annotated[
    str | None,
    typer.Option(help="Source of the images, as for train; that of the run when omitted."),
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
    """Trains normalizing flows on images, and uses them."""


@app.command()
def train(
    ctx: typer.Context,
    data: Annotated[
        str,
        _setting("digits, a .npz file, a folder of images, or tfds:NAME.", "Data"),
    ] = DEFAULTS.data,
    data_dir: Annotated[
        str | None, _setting("Folder of tensorflow-datasets.", "Data")
    ] = DEFAULTS.data_dir,
    download: Annotated[
        bool, _setting("Allow to download the data.", "Data", "--download")
    ] = DEFAULTS.download,
    num_bits: Annotated[int, _setting("Bits to keep of a pixel's 8.", "Data")] = DEFAULTS.num_bits,
    flip: Annotated[
        bool,
        _setting("Flip half of the training images left to right.", "Data", "--flip"),
    ] = DEFAULTS.flip,
    image_size: Annotated[
        int | None, _setting("Crop and resize images to squares.", "Data")
    ] = DEFAULTS.image_size,
    flow: Annotated[str, _setting(f"Architecture: {', '.join(FLOWS)}.", "Flow")] = DEFAULTS.flow,
    levels: Annotated[int | None, _setting("Number of scales.", "Flow")] = None,
    steps: Annotated[int | None, _setting("Steps of flow, at each scale.", "Flow")] = None,
    hidden_channels: Annotated[
        int | None, _setting("Width of convolutional networks.", "Flow")
    ] = None,
    hidden_units: Annotated[
        list[int] | None,
        _setting("Size of a dense network's hidden layer; repeat it for each layer.", "Flow"),
    ] = None,
    coupling: Annotated[
        str | None, _setting("affine, affine_exp or additive; spline for maf, iaf.", "Flow")
    ] = None,
    conv: Annotated[str | None, _setting("1x1 convolutions: lu or plain.", "Flow")] = None,
    factor_out: Annotated[
        float | None, _setting("Part of the channels that leaves a level.", "Flow")
    ] = None,
    alpha: Annotated[
        float | None, _setting("Margin of the logit of iresnet, residual_flow.", "Flow")
    ] = None,
    coefficient: Annotated[
        float | None, _setting("Bound of the norms of iresnet, residual_flow.", "Flow")
    ] = None,
    conditional: Annotated[
        bool,
        _setting("Condition on the images' labels.", "Flow", "--conditional"),
    ] = DEFAULTS.conditional,
    epochs: Annotated[
        int, _setting("Passes over the training images.", "Training")
    ] = DEFAULTS.epochs,
    batch_size: Annotated[int, _setting("Images a step.", "Training")] = DEFAULTS.batch_size,
    learning_rate: Annotated[
        float, _setting("Of Adamax, at its highest.", "Training")
    ] = DEFAULTS.learning_rate,
    warmup_epochs: Annotated[
        int,
        _setting("Epochs in which the learning rate rises.", "Training"),
    ] = DEFAULTS.warmup_epochs,
    weight_decay: Annotated[
        float | None, _setting("Against overfitting; 0 for large data.", "Training")
    ] = None,
    seed: Annotated[
        int, _setting("Seed of the split, the weights and the noise.", "Training")
    ] = DEFAULTS.seed,
    jit_compile: Annotated[
        bool | None, _setting("Compile with XLA, or not.", "Training")
    ] = DEFAULTS.jit_compile,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Folder to write; runs/FLOW-DATA when omitted.", rich_help_panel="Output"
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
    """Train a flow on images, by default Glow on scikit-learn's 8x8 digits.

    What is not given is as it suits the digits. For 32x32 color images start from --levels 3
    --steps 32 --hidden-channels 512 --learning-rate 1e-3 --warmup-epochs 10 --weight-decay 0, on a
    GPU.
    """
    given = {
        field.name: ctx.params[field.name]
        for field in dataclasses.fields(Settings)
        if ctx.get_parameter_source(field.name).name != "DEFAULT"
    }
    settings = Settings(**given)
    folder = output or settings.default_folder()
    run = Run.resume(folder, **given) if resume else Run.start(settings, folder)
    try:
        bits = run.train(verbose=1 if sys.stdout.isatty() else 2, report=typer.echo)
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted. {_how_to_go_on(run)}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"Test images: {bits:.4f} bits/dim. The model and its pictures are in {folder}.")


@app.command()
def evaluate(
    run: RunPath,
    data: Data = None,
    data_dir: DataDir = None,
    download: Download = False,
    seed: Seed = 0,
):
    """Print the bits per dimension of the test images."""
    model, found = _model_and_data(run, data, data_dir, download)
    bits = mean_bits_per_dim(model.distribution, found.test, seed=seed)
    typer.echo(f"Test images: {bits:.4f} bits/dim")
    deviation = estimates_deviation(model.distribution, found.test, seed=seed)
    if deviation > 0:
        typer.echo(f"Log-dets are estimates: an image's bits/dim deviate by {deviation:.4f}")


@app.command()
def sample(
    run: RunPath,
    num: Annotated[int, typer.Option(min=1, help="Number of images.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="Factor of the noise.")] = 1.0,
    class_id: Annotated[
        int | None,
        typer.Option("--class", help="Class of the images; each in turn when omitted."),
    ] = None,
    seed: Seed = 0,
    output: Annotated[
        pathlib.Path, typer.Option(help="A picture, or a .npz file of integers.")
    ] = pathlib.Path("samples.png"),
):
    """Draw new images."""
    distribution = load_model(run)[0].distribution
    condition = _condition(distribution, num, class_id)
    (images,) = sample_images(
        distribution, num, temperatures=(temperature,), condition=condition, seed=seed
    )
    if output.suffix == ".npz":
        labels = {} if condition is None else {"labels": condition}
        with replacing(output) as temporary:
            np.savez_compressed(temporary, images=images, **labels)
    else:
        columns = math.ceil(math.sqrt(num))
        rows = [images[start : start + columns] for start in range(0, num, columns)]
        plots.save_figure(plots.image_grid(rows, num_bins=distribution.num_bins), output)
    typer.echo(f"Wrote {output}.")


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
    model, found = _model_and_data(run, data, data_dir, download)
    start, end, labels = image_pairs(found.test, pairs, seed=seed)
    paths = interpolate_images(
        model.distribution, start, end, steps=steps, condition=labels, seed=seed
    )
    figure = plots.plot_interpolation(paths, num_bins=model.distribution.num_bins)
    plots.save_figure(figure, output)
    typer.echo(f"Wrote {output}.")


@app.command()
def export(
    run: RunPath,
    path: Annotated[pathlib.Path, typer.Argument(help="Folder to write.", show_default=False)],
):
    """Write a SavedModel that TensorFlow alone loads and runs."""
    export_saved_model(load_model(run)[0].distribution, path)
    typer.echo(f"Wrote {path}.")


def _how_to_go_on(run: Run) -> str:
    if not run.config_file.exists():
        return "Nothing was written yet."
    saved = f"The model is saved in {run.model_file}. " if run.model_file.exists() else ""
    return f"{saved}Continue with: tfp-glow train --output {shlex.quote(str(run.folder))} --resume"


def _model_and_data(run, data: str | None, data_dir: str | None, download: bool):
    """A trained model and the data it is to be shown."""
    model, settings = load_model(run)
    if data is None and settings is None:
        raise ValueError(f"data must be given with a model that is in no run. Received: {run}.")
    settings = settings or _settings_like(model.distribution)
    changes = {"data": data, "data_dir": data_dir, "download": download or None}
    given = {name: value for name, value in changes.items() if value is not None}
    settings = dataclasses.replace(settings, **given)
    found = load_images(settings.data, **settings.data_options())
    _check_data(model.distribution, found, settings.data)
    return model, found


def _settings_like(distribution: Dequantized) -> Settings:
    """Settings that make data fit a model without a run."""
    bits = distribution.num_bins.bit_length() - 1
    return Settings(
        num_bits=bits if distribution.num_bins == 2**bits else 8,
        conditional=distribution.condition_shape is not None,
    )


def _check_data(distribution: Dequantized, data: ImageData, source: str) -> None:
    expected = _describe(distribution.event_shape, distribution.num_bins, _classes(distribution))
    classes = None if distribution.condition_shape is None else data.num_classes
    received = _describe(data.image_shape, data.num_bins, classes)
    if expected != received:
        raise ValueError(f"data must have {expected}. Received: {source!r} with {received}.")
    if data.test is None:
        raise ValueError(f"data must have test images. Received: {source!r}, which has none.")


def _describe(image_shape, num_bins: int, classes: int | None) -> str:
    labels = f" and {classes} classes" if classes else ""
    return f"images of shape {tuple(image_shape)}, pixels of {num_bins} values{labels}"


def _classes(distribution: Dequantized) -> int | None:
    """The number of classes that a flow is conditioned on."""
    if distribution.condition_shape is None:
        return None
    return distribution.flow.recipe["arguments"]["num_classes"]


def _condition(distribution: Dequantized, num: int, class_id: int | None) -> np.ndarray | None:
    """The classes of samples: all of one, or each in turn."""
    classes = _classes(distribution)
    if class_id is not None and not 0 <= class_id < (classes or 0):
        known = f"be from 0 to {classes - 1}" if classes else "be omitted: the flow has no classes"
        raise ValueError(f"class must {known}. Received: {class_id}.")
    if classes is None:
        return None
    return np.arange(num) % classes if class_id is None else np.full(num, class_id)
