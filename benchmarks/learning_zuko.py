"""zuko's flows, as `benchmarks.learning` trains them."""

from __future__ import annotations

import numpy as np
import torch
import zuko

from benchmarks.learning import LEARNING_RATE, Learner

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
    return _Zuko(build(size, 0, hidden_features=(64, 64), **sizes))


class _Zuko:
    def __init__(self, flow):
        self._flow = flow
        self._optimizer = torch.optim.Adam(flow.parameters(), LEARNING_RATE)

    def parameters(self) -> int:
        return sum(p.numel() for p in self._flow.parameters())

    def learn(self, batch: np.ndarray) -> None:
        loss = -self._flow().log_prob(torch.from_numpy(batch)).mean()
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()

    @torch.no_grad()
    def nats(self, x: np.ndarray) -> float:
        return -self._flow().log_prob(torch.from_numpy(x)).mean().item()

    @torch.no_grad()
    def inversion_error(self, x: np.ndarray) -> float:
        transform, x = self._flow().transform, torch.from_numpy(x)
        return (transform.inv(transform(x)) - x).abs().max().item()
