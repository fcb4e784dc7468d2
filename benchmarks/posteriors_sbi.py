"""sbi's neural posterior estimation, as `benchmarks.posteriors` trains it."""

from __future__ import annotations

import numpy as np
import torch
from sbi.inference import NPE
from sbi.neural_nets import posterior_nn

from benchmarks.posteriors import SIZES, Estimate, Schedule

__all__ = ["estimate"]

_HELD_OUT = 0.1


def estimate(flow: str, x: np.ndarray, y: np.ndarray, *, schedule: Schedule, seed: int) -> Estimate:
    """Its own training and defaults, of our sizes, for as many steps at most."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    epochs = round(schedule.steps * schedule.batch / ((1 - _HELD_OUT) * len(x)))
    size = SIZES[flow]
    model = "maf" if size.bins is None else "nsf"
    build = posterior_nn(model, hidden_features=size.width, num_transforms=5)
    inference = NPE(density_estimator=build, show_progress_bars=False)
    inference.append_simulations(*map(torch.from_numpy, (x, y)))
    net = inference.train(
        training_batch_size=schedule.batch, validation_fraction=_HELD_OUT, max_num_epochs=epochs
    )
    return _Sbi(net)


class _Sbi:
    def __init__(self, net):
        self._net = net
        self.parameters = sum(p.numel() for p in net.parameters())

    @torch.no_grad()
    def log_prob(self, x, y):
        x, y = map(torch.from_numpy, (x, y))
        return self._net.log_prob(x[None], condition=y)[0].numpy()
