"""memcnn's RevNet and minREV's Reversible ViT, whose memory `benchmarks.classifiers` measures."""

from __future__ import annotations

import importlib.util
import pathlib

import numpy as np
import torch
from torch import nn

from benchmarks.common import peak_rss, random_images, serve, timed

__all__ = ["serve_steps"]

CLASSES = 10


def serve_steps(*, model: str, units: int, way: str, batch: int, minrev: str | None) -> None:
    """Answers for a model in training on one batch of random images."""
    network = _memcnn(units, way) if model == "memcnn" else _minrev(units, way, minrev)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    images = torch.from_numpy(random_images(batch)).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(np.arange(batch) % CLASSES)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    serve(
        {
            "first": lambda: timed(step),
            "step": lambda: timed(step),
            "memory": peak_rss,
            "parameters": lambda: sum(p.numel() for p in network.parameters()),
        }
    )


def _memcnn(units: int, way: str) -> nn.Module:
    """Its RevNet with the filters and the strides that ours has here."""
    from memcnn.models import resnet, revop

    network = resnet.ResNet(
        resnet.RevBasicBlock,
        [units] * 3,
        CLASSES,
        channels_per_layer=[16, 16, 32, 64],
        strides=[1, 1, 2, 2],
        init_kernel_size=3,
    )
    for module in network.modules():
        if isinstance(module, revop.InvertibleModuleWrapper):
            module.disable = way == "stored"
    # The ReLU before it needs its own output, which torch 2 does not let the first unit clear.
    network.layer1[0].revblock.keep_input = True
    return network


def _minrev(units: int, way: str, folder: str) -> nn.Module:
    """Its network of 64 tokens; `folder` holds its `rev.py`."""
    spec = importlib.util.spec_from_file_location("rev", pathlib.Path(folder) / "rev.py")
    rev = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rev)
    network = rev.RevViT(embed_dim=64, n_head=4, depth=units, patch_size=(4, 4))
    network.no_custom_backward = way == "stored"
    return network
