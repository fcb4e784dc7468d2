"""normflows' residual flow, as `benchmarks.residual` trains it."""

from __future__ import annotations

import math
import pathlib

import normflows as nf
import numpy as np
import torch

from benchmarks.residual import Budget, Task, conv_norm, dense_norm

__all__ = ["train"]


def train(task: Task, budget: Budget, path: pathlib.Path) -> dict:
    """Trains for the budget, saves, and measures; see `residual_ours.train`."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = _images(task) if task.name == "mnist" else _plane(task)
    optimizer = torch.optim.Adam(model.parameters(), task.learning_rate)
    steps = 0
    for batch in task.batches():
        for group in optimizer.param_groups:
            group["lr"] = budget.learning_rate(task.learning_rate)
        optimizer.zero_grad()
        figure = _to_figure(task, _log_prob(task, model, batch)).mean()
        loss = figure if task.name == "mnist" else -figure
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        nf.utils.update_lipschitz(model, 1)
        steps += 1
        if steps % 500 == 0:
            print(f"step {steps} loss {loss.item()}", flush=True)
        if budget.share >= 1.0:
            break
    nf.utils.update_lipschitz(model, 200)
    model.eval()
    torch.save(model.state_dict(), path.with_suffix(".pt"))
    return {
        "test": _test(task, model),
        "steps": steps,
        "parameters": sum(p.numel() for p in model.parameters() if p.grad is not None),
        "largest_norm_over_bound": max(_norms(model)) / task.coefficient,
        "inversion_float32": _inversion_error(task, model),
    }


def _images(task: Task) -> torch.nn.Module:
    """Two levels, half of the channels leaving after the first, behind a logit."""

    def blocks(channels: int) -> list:
        widths = [channels, task.hidden, task.hidden, channels]
        found = []
        for _ in range(task.steps):
            net = nf.nets.LipschitzCNN(
                widths, [3, 1, 3], lipschitz_const=task.coefficient, init_zeros=False
            )
            # Newest to data: ActNorm, then the block, as in ours.
            found += [
                nf.flows.Residual(net, reduce_memory=True, n_dist="poisson"),
                nf.flows.ActNorm((channels, 1, 1)),
            ]
        return [*found, nf.flows.Squeeze()]

    shapes = [(8, 7, 7), (2, 14, 14)]
    return nf.MultiscaleFlow(
        [nf.distributions.DiagGaussian(shape, trainable=False) for shape in shapes],
        [blocks(8), blocks(4)],
        [nf.flows.Merge()],
        transform=nf.transforms.Logit(1e-6),
        class_cond=False,
    )


def _plane(task: Task) -> torch.nn.Module:
    found = []
    for _ in range(task.steps):
        net = nf.nets.LipschitzMLP(
            [2, task.hidden, task.hidden, 2], lipschitz_const=task.coefficient, init_zeros=False
        )
        found += [
            nf.flows.Residual(net, brute_force=True, reduce_memory=False),
            nf.flows.ActNorm(2),
        ]
    return nf.NormalizingFlow(nf.distributions.DiagGaussian(2, trainable=False), found)


def _log_prob(task: Task, model, batch: np.ndarray) -> torch.Tensor:
    """Nats, of integer images under the dequantization's bound."""
    x = _input(task, batch)
    if task.name == "mnist":
        return model.log_prob(x, None) - x[0].numel() * math.log(256)
    return model.log_prob(x)


def _input(task: Task, batch: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(batch)
    if task.name == "mnist":
        x = x.float()[:, None]
        return (x + torch.rand_like(x)) / 256
    return x


def _test(task: Task, model) -> float:
    """Mean nats, or bits per dimension, of the test data."""
    parts = np.array_split(task.test, len(task.test) // 200)
    found = [_to_figure(task, _log_prob(task, model, part)).detach().numpy() for part in parts]
    return float(np.concatenate(found).mean())


def _to_figure(task: Task, nats):
    """What is reported: the nats themselves, or bits per dimension of images."""
    return -nats / (math.log(2) * task.test[0].size) if task.name == "mnist" else nats


def _inversion_error(task: Task, model) -> float:
    x = _input(task, task.test[:64])
    if task.name == "mnist":
        z, _ = model.inverse_and_log_det(x)
        again, _ = model.forward_and_log_det([part.detach() for part in z])
    else:
        again = model.forward(model.inverse(x).detach())
    return (again - x).abs().max().item()


def _norms(model) -> list[float]:
    """The spectral norm of every layer as it is called, from its whole matrix."""
    found = []
    for layer in model.modules():
        if not hasattr(layer, "compute_weight"):
            continue
        weight = layer.compute_weight(update=False).detach().numpy()
        if weight.ndim == 2:
            found.append(dense_norm(weight))
        else:
            size = tuple(int(n) for n in layer.spatial_dims)
            found.append(conv_norm(weight.transpose(2, 3, 1, 0), size))
    return found
