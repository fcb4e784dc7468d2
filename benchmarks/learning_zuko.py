"""zuko's flows, as `benchmarks.learning` trains them."""

from __future__ import annotations

import numpy as np
import torch
import zuko

from benchmarks.learning import Learner
from benchmarks.learning_torch import Library, TorchLearner

__all__ = ["learner"]

_FLOWS = {
    "maf": (zuko.flows.MAF, {"transforms": 5}),
    "maf_spline": (zuko.flows.NSF, {"transforms": 3}),
    "realnvp": (zuko.flows.RealNVP, {"transforms": 8}),
    # Its coupling splines, as its documentation has them; NCSF are circular, for angles.
    "coupling_spline": (zuko.flows.NSF, {"transforms": 4, "passes": 2}),
}


def learner(flow: str, size: int, seed: int, start: np.ndarray) -> Learner | None:
    """The flow with its defaults; zuko sets nothing from data and has no NICE without scales."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    if flow not in _FLOWS:
        return None
    build, sizes = _FLOWS[flow]
    return TorchLearner(build(size, 0, hidden_features=(64, 64), **sizes), _ZUKO)


def _nats(flow, x: torch.Tensor) -> torch.Tensor:
    return -flow().log_prob(x).mean()


def _again(flow, x: torch.Tensor) -> torch.Tensor:
    transform = flow().transform
    return transform.inv(transform(x))


_ZUKO = Library(_nats, _again)
