"""What the flows of torch's libraries share, as `benchmarks.learning` trains them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.learning import LEARNING_RATE, MOMENTUM

__all__ = ["Library", "TorchLearner"]


@dataclass(frozen=True)
class Library:
    """How a library calls things.

    Attributes:
      nats: Of a flow and data, the mean negative log-likelihood.
      again: Of the same, decode(encode(x)).
    """

    nats: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]
    again: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]


class TorchLearner:
    """A flow in training, and the moving average of its weights."""

    def __init__(self, flow: torch.nn.Module, library: Library):
        self._library, self._flow = library, flow
        self._optimizer = torch.optim.Adam(flow.parameters(), LEARNING_RATE)
        self._average = AveragedModel(flow, multi_avg_fn=get_ema_multi_avg_fn(MOMENTUM))

    def parameters(self) -> int:
        return sum(p.numel() for p in self._flow.parameters())

    def learn(self, batch: np.ndarray) -> None:
        loss = self._library.nats(self._flow, torch.from_numpy(batch))
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._average.update_parameters(self._flow)

    @torch.no_grad()
    def nats(self, x: np.ndarray, *, averaged: bool) -> float:
        return self._library.nats(self._weights(averaged), torch.from_numpy(x)).item()

    @torch.no_grad()
    def inversion_error(self, x: np.ndarray, *, averaged: bool) -> float:
        x = torch.from_numpy(x)
        return (self._library.again(self._weights(averaged), x) - x).abs().max().item()

    def _weights(self, averaged: bool) -> torch.nn.Module:
        return self._average.module if averaged else self._flow
