"""XLA programs of a flow in a folder, which run where there is JAX and no TensorFlow.

The folder holds a serialized HloModule for each program, `values.npz` and `manifest.json`. Of large
kernels it holds seeds and standard deviations alone, so that it stays small.
"""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.compilers import compile_here, to_stablehlo

__all__ = ["Exported", "redraw_kernels", "seeded_normal", "write"]

LARGE = 2**16


def redraw_kernels(variables: Sequence) -> dict[int, float]:
    """Sets the large kernels to what `Exported` draws again elsewhere.

    Returns:
      The standard deviation of each, by its index.
    """
    large = {i: v for i, v in enumerate(variables) if np.prod(v.shape) > LARGE}
    spreads = {i: float(v.numpy().std()) for i, v in large.items() if v.name.endswith("kernel")}
    spreads = {i: spread for i, spread in spreads.items() if spread > 0}
    for index, spread in spreads.items():
        variables[index].assign(_kernel(index, variables[index].shape, spread))
    return spreads


def write(
    folder: pathlib.Path,
    programs: dict[str, bytes],
    state: Sequence[np.ndarray],
    constants: Sequence[np.ndarray],
    *,
    parameters: int,
    redrawn: dict[int, float],
    configuration: dict,
) -> None:
    """Writes programs and the values that they take after their arguments.

    Args:
      folder: Where to.
      programs: Serialized HloModules by name.
      state: What training changes, the parameters first.
      constants: What it does not.
      parameters: Number of parameters in the state.
      redrawn: What `redraw_kernels` gave back.
      configuration: What is to be told of the flow.
    """
    values = [*state, *constants]
    folder.mkdir(parents=True, exist_ok=True)
    for name, hlo in programs.items():
        (folder / f"{name}.hlo").write_bytes(hlo)
    kept = {str(i): value for i, value in enumerate(values) if i not in redrawn}
    np.savez_compressed(folder / "values.npz", **kept)
    manifest = {
        "configuration": configuration,
        "state": len(state),
        "parameters": parameters,
        "shapes": [value.shape for value in values],
        "redrawn": {str(index): spread for index, spread in redrawn.items()},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


class Exported:
    """What `write` wrote, on JAX's first device.

    Args:
      folder: Where it is.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._manifest = json.loads((folder / "manifest.json").read_text())

    @property
    def configuration(self) -> dict:
        """What is told of the flow."""
        return self._manifest["configuration"]

    @property
    def state(self) -> list[np.ndarray]:
        """Initial values of what training changes."""
        return self._values[: self._manifest["state"]]

    @property
    def constants(self) -> list[np.ndarray]:
        """Values that training leaves alone."""
        return self._values[self._manifest["state"] :]

    def parameters_of(self, state: list) -> list:
        """The flow's own part of a state, without the optimizer's."""
        return state[: self._manifest["parameters"]]

    @functools.cached_property
    def _values(self) -> list[np.ndarray]:
        redrawn = self._manifest["redrawn"]
        with np.load(self._folder / "values.npz") as kept:
            return [
                _kernel(i, shape, redrawn[str(i)]) if str(i) in redrawn else kept[str(i)]
                for i, shape in enumerate(self._manifest["shapes"])
            ]

    def compile(self, name: str) -> tuple[Callable, object]:
        """A program as a function of lists of arrays on the device, and its executable."""
        hlo = (self._folder / f"{name}.hlo").read_bytes()
        executable, _ = compile_here(to_stablehlo(hlo))

        def call(inputs: list) -> list:
            outputs = executable.execute_sharded(inputs)
            return [o[0] for o in outputs.disassemble_into_single_device_arrays()]

        return call, executable


def _kernel(index: int, shape, spread: float) -> np.ndarray:
    return np.float32(spread) * seeded_normal(index, shape)


def seeded_normal(seed: int, shape) -> np.ndarray:
    """Standard normal values, the same everywhere."""
    return np.random.default_rng(seed).standard_normal(tuple(shape), "float32")
