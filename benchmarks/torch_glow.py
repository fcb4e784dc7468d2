"""Glow written directly in PyTorch modules, for comparison."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

__all__ = ["Glow"]


class ActNorm(nn.Module):
    """An affine map of each channel, set from the first batch."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.initialized = False

    @torch.no_grad()
    def initialize(self, x: torch.Tensor) -> None:
        std, mean = torch.std_mean(x, dim=(0, 2, 3), keepdim=True)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-torch.log(std + 1e-6))
        self.initialized = True

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.initialized:
            self.initialize(x)
        positions = x.shape[2] * x.shape[3]
        return (x + self.bias) * torch.exp(self.log_scale), positions * self.log_scale.sum()

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z * torch.exp(-self.log_scale) - self.bias


class InvertibleConv(nn.Module):
    """A 1x1 convolution whose matrix is P L (U + diag(sign * exp(log_diagonal)))."""

    def __init__(self, channels: int):
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())
        self.register_buffer("eye", torch.eye(channels))
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(diagonal.abs().log())

    def triangles(self) -> tuple[torch.Tensor, torch.Tensor]:
        diagonal = torch.diag(self.sign * torch.exp(self.log_diagonal))
        return self.lower.tril(-1) + self.eye, self.upper.triu(1) + diagonal

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        lower, upper = self.triangles()
        weight = self.permutation @ lower @ upper
        positions = x.shape[2] * x.shape[3]
        return F.conv2d(x, weight[:, :, None, None]), positions * self.log_diagonal.sum()

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        lower, upper = self.triangles()
        weight = torch.linalg.solve_triangular(lower, self.permutation.T, upper=False)
        weight = torch.linalg.solve_triangular(upper, weight, upper=True)
        return F.conv2d(z, weight[:, :, None, None])


class Coupling(nn.Module):
    """An affine coupling with a sigmoid scale."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(channels // 2, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
            nn.ReLU(inplace=True),
            zero_conv(width, channels),
        )

    def shift_and_scale(self, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shift, raw = self.network(kept).chunk(2, dim=1)
        return shift, torch.sigmoid(raw + 2.0)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept, changed = x.chunk(2, dim=1)
        shift, scale = self.shift_and_scale(kept)
        log_det = scale.log().sum(dim=(1, 2, 3))
        return torch.cat([kept, (changed + shift) * scale], dim=1), log_det

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        kept, changed = z.chunk(2, dim=1)
        shift, scale = self.shift_and_scale(kept)
        return torch.cat([kept, changed / scale - shift], dim=1)


class Level(nn.Module):
    """The steps of one scale."""

    def __init__(self, channels: int, width: int, steps: int):
        super().__init__()
        self.parts = nn.ModuleList(
            part
            for _ in range(steps)
            for part in (ActNorm(channels), InvertibleConv(channels), Coupling(channels, width))
        )

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, total = F.pixel_unshuffle(x, 2), x.new_zeros(len(x))
        for part in self.parts:
            x, log_det = part.encode(x)
            total = total + log_det
        return x, total

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        for part in reversed(self.parts):
            z = part.decode(z)
        return F.pixel_shuffle(z, 2)


class Glow(nn.Module):
    """Glow on square images `[batch, channels, size, size]`, half of the channels leaving a level.

    Args:
      channels: Channels of the images.
      size: Side of the images.
      levels: Number of scales.
      steps: Steps of flow at each scale.
      width: Hidden channels of the couplings' networks.
    """

    def __init__(self, channels: int, size: int, *, levels: int, steps: int, width: int):
        super().__init__()
        sizes = [channels * 2 ** (level + 1) for level in range(1, levels + 1)]
        self.levels = nn.ModuleList(Level(c, width, steps) for c in sizes)
        self.priors = nn.ModuleList(zero_conv(c // 2, c) for c in sizes[:-1])
        self.top_prior = nn.Parameter(torch.zeros(1, 2 * sizes[-1], 1, 1))
        self.top_shape = (sizes[-1], size >> levels, size >> levels)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        total = x.new_zeros(len(x))
        for index, level in enumerate(self.levels):
            x, log_det = level.encode(x)
            total = total + log_det
            if index < len(self.priors):
                x, latent = x.chunk(2, dim=1)
                total = total + gaussian_log_prob(latent, self.priors[index](x))
        return total + gaussian_log_prob(x, self.top_prior)

    @torch.no_grad()
    def sample(self, count: int) -> torch.Tensor:
        x = gaussian_sample(self.top_prior.expand(count, -1, *self.top_shape[1:]))
        for index in reversed(range(len(self.levels))):
            if index < len(self.priors):
                x = torch.cat([x, gaussian_sample(self.priors[index](x))], dim=1)
            x = self.levels[index].decode(x)
        return x


def zero_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that starts at zero."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv


def gaussian_log_prob(z: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Log-density of each example, given means and log standard deviations by channels."""
    mean, log_std = parameters.chunk(2, dim=1)
    density = -0.5 * ((z - mean) * torch.exp(-log_std)) ** 2 - log_std
    return (density - 0.5 * math.log(2 * math.pi)).sum(dim=(1, 2, 3))


def gaussian_sample(parameters: torch.Tensor) -> torch.Tensor:
    mean, log_std = parameters.chunk(2, dim=1)
    return mean + torch.exp(log_std) * torch.randn_like(mean)
