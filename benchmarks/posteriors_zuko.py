"""zuko's flows, as `benchmarks.posteriors` trains them."""

from __future__ import annotations

import numpy as np
import torch
import zuko

from benchmarks.posteriors import SIZES, Estimate, Schedule

__all__ = ["estimate"]

_ACTIVATIONS = {"relu": torch.nn.ReLU, "silu": torch.nn.SiLU}


def estimate(flow: str, x: np.ndarray, y: np.ndarray, *, schedule: Schedule, seed: int) -> Estimate:
    """The flow with its defaults, of our sizes, by Adam along a cosine."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    size = SIZES[flow]
    options = {
        "transforms": 5,
        "hidden_features": (size.width, size.width),
        "activation": _ACTIVATIONS[size.activation],
    }
    shapes = x.shape[1], y.shape[1]
    if size.bins is None:
        made = zuko.flows.MAF(*shapes, **options)
    else:
        made = zuko.flows.NSF(*shapes, bins=size.bins, **options)
    return _Zuko(made, *map(torch.from_numpy, (x, y)), schedule)


class _Zuko:
    def __init__(self, flow, x, y, schedule):
        self._flow = flow
        self.parameters = sum(p.numel() for p in flow.parameters())
        optimizer = torch.optim.Adam(flow.parameters(), schedule.learning_rate)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.steps)
        for _ in range(schedule.steps):
            rows = torch.randint(len(x), (schedule.batch,))
            loss = -flow(y[rows]).log_prob(x[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cosine.step()

    @torch.no_grad()
    def log_prob(self, x, y):
        return self._flow(torch.from_numpy(y)).log_prob(torch.from_numpy(x)).numpy()
