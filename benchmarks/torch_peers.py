"""The PyTorch models that `benchmarks.peers` compares."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.common import IMAGE_SHAPE, LEVELS, level_shapes, random_images
from benchmarks.torch_glow import Glow

__all__ = ["TorchPeer", "normflows_glow", "torch_glow"]


class TorchPeer:
    """A model's training step and sampling.

    Args:
      model: What is trained.
      log_prob: Log-density of a batch.
      sample: Draws a batch.
      batch: Examples of a step.
      device: Where it runs.
      autocast: Whether torch may multiply in bfloat16.
    """

    def __init__(
        self,
        model: nn.Module,
        log_prob: Callable,
        sample: Callable,
        batch: int,
        *,
        device: str = "cpu",
        autocast: bool = False,
    ):
        torch.set_num_threads(os.cpu_count())
        self._model, self._log_prob, self._sample = model.to(device), log_prob, sample
        x = torch.from_numpy(random_images(batch)).permute(0, 3, 1, 2).contiguous()
        self._x, self._device, self._autocast = x.to(device), device, autocast
        self._optimizer = torch.optim.Adamax(model.parameters(), lr=1e-3)

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self._model.parameters())

    def first_step(self) -> None:
        self.train()

    def train(self) -> None:
        self._optimizer.zero_grad()
        with torch.autocast(self._device, torch.bfloat16, enabled=self._autocast):
            log_prob = self._log_prob(self._x)
        loss = -log_prob.mean() / (math.prod(IMAGE_SHAPE) * math.log(2))
        loss.backward()
        self._optimizer.step()
        if self._device == "cuda":
            torch.cuda.synchronize()

    def sample(self) -> None:
        with torch.no_grad():
            self._sample()


def torch_glow(*, steps: int, width: int, batch: int, **place) -> TorchPeer:
    """Glow in plain PyTorch modules."""
    size, _, channels = IMAGE_SHAPE
    model = Glow(channels, size, levels=LEVELS, steps=steps, width=width)
    return TorchPeer(model, model.log_prob, lambda: model.sample(batch), batch, **place)


def normflows_glow(*, steps: int, width: int, batch: int, **place) -> TorchPeer:
    """normflows' multi-scale Glow, put together as its example does."""
    import normflows as nf

    bases, flows, merges = [], [], []
    for level, (height, across, channels) in reversed(list(enumerate(level_shapes(), start=1))):
        blocks = [nf.flows.GlowBlock(channels, width) for _ in range(steps)]
        flows.append([*blocks, nf.flows.Squeeze()])
        latent = channels if level == LEVELS else channels // 2
        bases.append(nf.distributions.GlowBase((latent, height, across)))
        if level < LEVELS:
            merges.append(nf.flows.Merge())
    model = nf.MultiscaleFlow(bases, flows, merges, class_cond=False)
    log_prob, sample = lambda x: model.log_prob(x, None), lambda: model.sample(batch)
    return TorchPeer(model, log_prob, sample, batch, **place)
