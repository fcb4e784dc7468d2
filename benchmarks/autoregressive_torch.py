"""zuko's and normflows' masked autoregressive flows, as `benchmarks.autoregressive` times them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from benchmarks.common import serve, timed, worker_option

STEPS = 5


def main() -> None:
    """Answers `density` and `sampling` with the seconds of one call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    worker_option(parser)
    options = parser.parse_args().worker
    size = options["size"]
    hidden, batch = (1024, 100) if size > 512 else (256, 256)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    density, sampling = _FLOWS[options["flow"]](size, hidden, torch.randn(batch, size))
    serve({"density": lambda: _seconds(density), "sampling": lambda: _seconds(sampling)})


def _zuko(size: int, hidden: int, x: torch.Tensor) -> tuple[Callable, Callable]:
    import zuko

    flow = zuko.flows.MAF(size, transforms=STEPS, hidden_features=(hidden,))
    return lambda: flow().log_prob(x), lambda: flow().sample((len(x),))


def _normflows(size: int, hidden: int, x: torch.Tensor) -> tuple[Callable, Callable]:
    """With a residual block, which it asks for: two hidden layers more."""
    import normflows as nf

    steps = []
    for _ in range(STEPS):
        steps.append(nf.flows.MaskedAffineAutoregressive(size, hidden, num_blocks=1))
        steps.append(nf.flows.Permute(size, mode="shuffle"))
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(size), steps).eval()
    return lambda: flow.log_prob(x), lambda: flow.sample(len(x))


_FLOWS = {"zuko": _zuko, "normflows": _normflows}


def _seconds(call: Callable) -> float:
    with torch.no_grad():
        return timed(call)


if __name__ == "__main__":
    main()
