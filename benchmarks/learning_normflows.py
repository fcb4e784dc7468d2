"""normflows' flows, as `benchmarks.learning` trains them."""

from __future__ import annotations

import normflows as nf
import numpy as np
import torch

from benchmarks.learning import Learner
from benchmarks.learning_torch import Library, TorchLearner

__all__ = ["learner"]


def _couplings(size: int, count: int, parameters: int, **options) -> list:
    """As in its examples: affine couplings over networks whose last layers start at zero."""
    half = size // 2
    layers = []
    for _ in range(count):
        network = nf.nets.MLP([size - half, 64, 64, parameters * half], init_zeros=True)
        layers.append(nf.flows.AffineCouplingBlock(network, **options))
        layers.append(nf.flows.Permute(size, mode="swap"))
    return layers


def _maf(size: int) -> list:
    """Reversed: in a density its layers go their slow direction, and are an IAF."""
    layers = []
    for _ in range(5):
        layer = nf.flows.MaskedAffineAutoregressive(size, 64, num_blocks=1)
        layers.append(nf.flows.Reverse(layer))
        layers.append(nf.flows.Permute(size, mode="swap" if size == 2 else "shuffle"))
    return layers


def _splines(kind: type, size: int, count: int, in_plane: int) -> list:
    """As in its examples: splines over residual networks, mixed by LU-parametrized matrices.

    These have 64 units, `in_plane` in the plane, with which they have the others' parameters there.
    """
    units = in_plane if size == 2 else 64
    layers = []
    for _ in range(count):
        layers += [kind(size, 1, units), nf.flows.LULinearPermute(size)]
    return layers


_FLOWS = {
    "maf": _maf,
    "maf_spline": lambda size: _splines(
        nf.flows.AutoregressiveRationalQuadraticSpline, size, 3, in_plane=49
    ),
    "realnvp": lambda size: _couplings(size, 8, 2),
    "coupling_spline": lambda size: _splines(
        nf.flows.CoupledRationalQuadraticSpline, size, 4, in_plane=53
    ),
    "nice": lambda size: _couplings(size, 4, 1, scale=False),
}


def learner(flow: str, size: int, seed: int, start: np.ndarray) -> Learner:
    """The flow with its defaults; what is set from data is set in the first step."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(size), _FLOWS[flow](size))
    return TorchLearner(flow, _NORMFLOWS)


_NORMFLOWS = Library(
    lambda flow, x: flow.forward_kld(x), lambda flow, x: flow.forward(flow.inverse(x))
)
