"""zuko's and normflows' masked autoregressive flows, as `benchmarks.autoregressive` times them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from benchmarks.common import serve, worker_option

__all__ = ["cpu_seconds"]


def main() -> None:
    """Answers `density` and `sampling` with the seconds of one call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    worker_option(parser)
    options = parser.parse_args().worker
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    x = torch.randn(options["batch"], options["size"])
    build = _FLOWS[options["flow"]]
    density, sampling = build(options["size"], options["steps"], options["hidden"], x)
    serve({"density": lambda: cpu_seconds(density), "sampling": lambda: cpu_seconds(sampling)})


def cpu_seconds(call: Callable[[], object]) -> float:
    """Seconds of CPU, on all threads, that one call takes."""
    start = time.process_time()
    call()
    return time.process_time() - start


def _zuko(size: int, steps: int, hidden: int, x) -> tuple[Callable, Callable]:
    import zuko

    flow = zuko.flows.MAF(size, transforms=steps, hidden_features=(hidden,))
    return lambda: flow().log_prob(x), lambda: flow().sample((len(x),))


def _normflows(size: int, steps: int, hidden: int, x) -> tuple[Callable, Callable]:
    """With a residual block, which it asks for: two hidden layers more."""
    import normflows as nf

    layers = []
    for _ in range(steps):
        layers.append(nf.flows.MaskedAffineAutoregressive(size, hidden, num_blocks=1))
        layers.append(nf.flows.Permute(size, mode="shuffle"))
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(size), layers).eval()
    return lambda: flow.log_prob(x), lambda: flow.sample(len(x))


_FLOWS = {"zuko": _zuko, "normflows": _normflows}


if __name__ == "__main__":
    main()
