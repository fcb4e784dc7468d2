"""zuko's flows, as `benchmarks.posteriors` trains them."""

from __future__ import annotations

import numpy as np
import torch
import zuko

from benchmarks.posteriors import BATCH, LEARNING_RATE, Estimate

__all__ = ["estimate"]

_FLOWS = {"maf": zuko.flows.MAF, "spline": zuko.flows.NSF}


def estimate(flow: str, x: np.ndarray, y: np.ndarray, *, steps: int, seed: int) -> Estimate:
    """The flow with its defaults, of our sizes, by Adam along a cosine."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    made = _FLOWS[flow](x.shape[1], y.shape[1], transforms=5, hidden_features=(64, 64))
    return _Zuko(made, *map(torch.from_numpy, (x, y)), steps)


class _Zuko:
    def __init__(self, flow, x, y, steps):
        self._flow = flow
        self.parameters = sum(p.numel() for p in flow.parameters())
        optimizer = torch.optim.Adam(flow.parameters(), LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            rows = torch.randint(len(x), (BATCH,))
            loss = -flow(y[rows]).log_prob(x[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    @torch.no_grad()
    def log_prob(self, x, y):
        return self._flow(torch.from_numpy(y)).log_prob(torch.from_numpy(x)).numpy()
