"""XLA programs through JAX's compilers, on this machine or for a TPU. Needs no TensorFlow."""

from __future__ import annotations

import os
import time
from typing import Literal

__all__ = ["Target", "compile_for", "compile_here", "to_stablehlo"]

Target = Literal["cpu", "tpu"]

TPU_TOPOLOGY = "v5e:2x2"
# These let libtpu compile on a machine without a TPU.
TPU_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "JAX_PLATFORMS": "cpu",
}


def to_stablehlo(hlo: bytes) -> bytes:
    """A serialized HloModule as StableHLO bytecode."""
    from jaxlib import _jax

    return _jax.mlir.hlo_to_stablehlo(hlo)


def compile_here(program: bytes):
    """StableHLO compiled for JAX's first device here: the executable and its device."""
    import jax
    from jaxlib import _jax

    device = jax.devices()[0]
    options = _jax.CompileOptions()
    return device.client.compile_and_load(program, _jax.DeviceList((device,)), options), device


def compile_for(target: Target, program: bytes) -> dict:
    """Compiles StableHLO for a target and says what the compiler tells of the result."""
    start = time.perf_counter()
    executable = compile_here(program)[0] if target == "cpu" else _compile_for_tpu(program)
    seconds = time.perf_counter() - start
    memory = executable.get_compiled_memory_stats()
    return {
        "compile_s": seconds,
        "code_mb": memory.generated_code_size_in_bytes / 1e6,
        "temporaries_mb": memory.temp_size_in_bytes / 1e6,
        "arguments_mb": memory.argument_size_in_bytes / 1e6,
    }


def _compile_for_tpu(program: bytes):
    os.environ.update(TPU_ENVIRONMENT)
    from jax._src.interpreters import mlir
    from jax.experimental import topologies
    from jaxlib import _jax
    from jaxlib.mlir import ir

    topology = topologies.get_topology_desc(TPU_TOPOLOGY, "tpu")
    device = topology.devices[0]
    devices, options = _jax.DeviceList((device,)), _jax.CompileOptions()
    with mlir.make_ir_context():
        return device.client.compile(ir.Module.parse(program), devices, options)
