"""normflows' Glow, as `benchmarks.images` trains it."""

from __future__ import annotations

import functools
import math
import pathlib

import normflows as nf
import numpy as np
import torch

from benchmarks.images import Images
from benchmarks.residual import Budget

__all__ = ["train"]

LEVELS, STEPS, WIDTH = 2, 8, 96


def train(
    name: str, images: Images, budget: Budget, learning_rate: float, path: pathlib.Path
) -> dict:
    """Trains for the budget, saves, and measures; see `images_ours.train`."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = glow(images.train.shape[1:])
    bits = functools.partial(bits_per_dim, model, num_bins=images.num_bins)
    optimizer = torch.optim.Adamax(model.parameters(), learning_rate, weight_decay=1e-5)
    steps, first_step_s = 0, None
    for batch in images.batches():
        for group in optimizer.param_groups:
            group["lr"] = budget.learning_rate(learning_rate)
        optimizer.zero_grad()
        loss = bits(batch).mean()
        # A batch that overflows is left out, as the library's own examples do.
        if torch.isfinite(loss):
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        steps += 1
        first_step_s = first_step_s or budget.seconds
        if steps % 500 == 0:
            print(f"step {steps} loss {loss.item()}", flush=True)
            torch.save(model.state_dict(), path.with_suffix(".pt"))
        if budget.share >= 1.0:
            break
    model.eval()
    with torch.no_grad():
        parts = np.array_split(images.test, len(images.test) // 200)
        test = np.concatenate([bits(part).numpy() for part in parts])
    return {
        "bits_per_dim": float(test.mean()),
        "steps": steps,
        "first_step_s": first_step_s,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def glow(shape) -> torch.nn.Module:
    """The multi-scale Glow, put together as the library's example does."""
    height, width, channels = shape
    bases, flows, merges = [], [], []
    for level in range(LEVELS):
        inner = channels * 2 ** (LEVELS + 1 - level)
        blocks = [nf.flows.GlowBlock(inner, WIDTH, scale=True) for _ in range(STEPS)]
        flows.append([*blocks, nf.flows.Squeeze()])
        side = 2 ** (LEVELS - level)
        latent = inner if level == 0 else inner // 2
        bases.append(nf.distributions.GlowBase((latent, height // side, width // side)))
        if level > 0:
            merges.append(nf.flows.Merge())
    return nf.MultiscaleFlow(bases, flows, merges, class_cond=False)


def bits_per_dim(model, batch: np.ndarray, num_bins: int) -> torch.Tensor:
    """Of integer images, under the dequantization's bound."""
    x = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
    y = (x + torch.rand_like(x)) / num_bins
    size = y[0].numel()
    return -(model.log_prob(y, None) - size * math.log(num_bins)) / (math.log(2) * size)
