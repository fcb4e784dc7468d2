"""Every exported bijector, with what the contract test needs to hold it to the contract.

A new bijector gets one entry here and nothing else; `test_contract.py` fails without it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tgb
from tfp_glow.laws.elementwise import get_law
from tfp_glow.laws.masks import kept_channels
from tfp_glow.laws.spline import RationalQuadraticSpline
from tfp_glow.networks import (
    MADE,
    MLP,
    CausalTransformer,
    GlowNetwork,
    LipschitzConvNetwork,
    LipschitzMLP,
    ResNet,
)

tfb = tfp.bijectors


@dataclass(frozen=True)
class Entry:
    """How to build a bijector in a dtype, the event shape of its data, and how exact it is."""

    kind: type
    make: Callable[[str], tgb.FlowBijector]
    event_shape: tuple[int, ...]
    condition: Callable[[tuple[int, ...], str], tf.Tensor] | None = None
    tolerance: float = 1e-9


def mlp(channels: int, size: int, dtype: str, *, seed: int = 0, **kwargs) -> MLP:
    sizes = {"hidden_units": (8,), "inputs": (size,)}
    return MLP(channels, **sizes, activation="tanh", seed=seed, dtype=dtype, **kwargs)


def factory(dtype: str):
    return functools.partial(MLP, hidden_units=(8,), activation="tanh", seed=0, dtype=dtype)


def amortized(dtype: str) -> dict:
    return {"network": factory(dtype), "condition_shape": (3,)}


def conv(channels: int, shape: tuple[int, int, int], dtype: str) -> GlowNetwork:
    return GlowNetwork(channels, hidden_channels=4, inputs=shape, seed=0, dtype=dtype)


def vector_step(dtype: str, **kwargs) -> tgb.GlowStep:
    network = mlp(4, 2, dtype, condition_size=3 if kwargs else None)
    return tgb.GlowStep(4, network, event_ndims=1, seed=1, dtype=dtype, **kwargs)


def image_step(dtype: str, **kwargs) -> tgb.GlowStep:
    return tgb.GlowStep(4, conv(4, (2, 2, 2), dtype), seed=2, dtype=dtype, **kwargs)


def multiscale(dtype: str, num_classes: int | None = None) -> tgb.MultiScale:
    prior = tgb.Coupling(conv(4, (2, 2, 2), dtype), law="affine_exp", event_ndims=3, dtype=dtype)
    first = tgb.Chain([tgb.Squeeze(2), image_step(dtype), prior])
    top = tgb.GaussianPrior(8, num_classes=num_classes, dtype=dtype)
    return tgb.MultiScale([first, tgb.Chain([tgb.Squeeze(2), top])], (4, 4, 1))


def features(batch: tuple[int, ...], dtype: str) -> tf.Tensor:
    return tf.cast(tf.reshape(tf.range(tf.reduce_prod([*batch, 3])), [*batch, 3]) % 5, dtype) / 5


def classes(batch: tuple[int, ...], dtype: str) -> tf.Tensor:
    return tf.reshape(tf.range(tf.reduce_prod([1, *batch])) % 3, batch)


def coupling(law, dtype: str, *, size: int = 5, mask="first_half", **kwargs) -> tgb.Coupling:
    kept = int(kept_channels(mask, size).sum())
    condition_size = 3 if "condition_shape" in kwargs else None
    outputs = get_law(law).parameters_per_channel or 1
    network = mlp(outputs * (size - kept), kept, dtype, condition_size=condition_size)
    return tgb.Coupling(network, law=law, mask=mask, dtype=dtype, **kwargs)


def checkerboard(mask: str, dtype: str) -> tgb.Coupling:
    network = ResNet(2, hidden_channels=4, blocks=1, inputs=(2, 3, 1), seed=0, dtype=dtype)
    return tgb.Coupling(network, law="affine_exp", mask=mask, event_ndims=3, dtype=dtype)


def autoregressive(dtype: str, law="affine_exp", **kwargs) -> tgb.MaskedAutoregressive:
    network = MADE(
        4,
        outputs=4 * get_law(law).parameters_per_channel,
        hidden_units=(8, 8),
        activation="tanh",
        condition_size=3 if "condition_shape" in kwargs else None,
        seed=0,
        dtype=dtype,
    )
    return tgb.MaskedAutoregressive(network, law=law, dtype=dtype, **kwargs)


def tokens(dtype: str) -> tgb.AutoregressiveTokens:
    network = functools.partial(CausalTransformer, width=4, layers=1, heads=2, seed=0, dtype=dtype)
    shapes = {"event_shape": (3, 2), "condition_shape": (3,)}
    return tgb.AutoregressiveTokens(network, law="affine_softsign", dtype=dtype, **shapes)


def residual(dtype: str, **kwargs) -> tgb.ResidualBlock:
    network = LipschitzMLP(
        3,
        hidden_units=(8,),
        condition_size=3 if kwargs else None,
        seed=0,
        dtype=dtype,
    )
    return tgb.ResidualBlock(network, log_det="exact", dtype=dtype, **kwargs)


def image_residual(dtype: str) -> tgb.ResidualBlock:
    network = LipschitzConvNetwork((2, 2, 1), hidden_channels=4, seed=0, dtype=dtype)
    return tgb.ResidualBlock(network, log_det="exact", event_ndims=3, dtype=dtype)


def continuous(dtype: str, **kwargs) -> tgb.ContinuousFlow:
    network = mlp(2, 2, dtype, condition_size=4 if kwargs else 1, seed=0)
    tolerance = 1e-8 if dtype == "float64" else 1e-6
    return tgb.ContinuousFlow(network, tolerance=tolerance, dtype=dtype, **kwargs)


def to_scale(raw) -> tfb.Bijector:
    return tfb.Scale(tf.exp(tf.tanh(raw)))


REGISTRY: dict[str, Entry] = {
    "ActNorm": Entry(tgb.ActNorm, lambda d: tgb.ActNorm(3, dtype=d), (3,)),
    "AutoregressiveTokens": Entry(tgb.AutoregressiveTokens, tokens, (3, 2), features),
    "Chain": Entry(
        tgb.Chain,
        lambda d: tgb.Chain([tgb.ActNorm(4, dtype=d), tfb.Softplus(), coupling_of_four(d)]),
        (4,),
    ),
    "Conditioned": Entry(
        tgb.Conditioned,
        lambda d: tgb.Conditioned(
            coupling("affine", d, condition_shape=(3,)), mlp(3, 3, d, seed=1), (3,)
        ),
        (5,),
        features,
    ),
    "ContinuousFlow-condition": Entry(
        tgb.ContinuousFlow,
        lambda d: continuous(d, condition_shape=(3,)),
        (2,),
        features,
        tolerance=1e-6,
    ),
    "Coupling-additive": Entry(tgb.Coupling, lambda d: coupling("additive", d), (5,)),
    "Coupling-affine": Entry(tgb.Coupling, lambda d: coupling("affine", d), (5,)),
    "Coupling-affine_exp": Entry(tgb.Coupling, lambda d: coupling("affine_exp", d), (5,)),
    "Coupling-condition": Entry(
        tgb.Coupling, lambda d: coupling("affine", d, condition_shape=(3,)), (5,), features
    ),
    "Coupling-factory": Entry(
        tgb.Coupling,
        lambda d: tgb.Coupling(
            factory(d), mask="odd", event_shape=5, condition_shape=(3,), dtype=d
        ),
        (5,),
        features,
    ),
    "Coupling-image": Entry(
        tgb.Coupling,
        lambda d: tgb.Coupling(conv(2, (2, 2, 1), d), event_ndims=3, dtype=d),
        (2, 2, 2),
    ),
    "Coupling-bijector": Entry(tgb.Coupling, lambda d: coupling(to_scale, d), (5,)),
    "Coupling-booleans": Entry(
        tgb.Coupling,
        lambda d: coupling("affine", d, size=3, mask=[False, True, False]),
        (3,),
    ),
    "Coupling-checkerboard_even": Entry(
        tgb.Coupling, lambda d: checkerboard("checkerboard_even", d), (2, 3, 1)
    ),
    "Coupling-checkerboard_odd": Entry(
        tgb.Coupling, lambda d: checkerboard("checkerboard_odd", d), (2, 3, 1)
    ),
    "Coupling-even": Entry(tgb.Coupling, lambda d: coupling("affine", d, mask="even"), (5,)),
    "Coupling-multiplicative": Entry(tgb.Coupling, lambda d: coupling("multiplicative", d), (5,)),
    "Coupling-odd": Entry(tgb.Coupling, lambda d: coupling("additive", d, mask="odd"), (5,)),
    "Coupling-second_half": Entry(
        tgb.Coupling, lambda d: coupling("affine", d, mask="second_half"), (5,)
    ),
    "Coupling-spline": Entry(
        tgb.Coupling, lambda d: coupling(RationalQuadraticSpline(bins=4), d), (5,)
    ),
    "ClassConditional": Entry(
        tgb.ClassConditional,
        lambda d: tgb.ClassConditional(coupling("affine", d, condition_shape=(3,)), 3),
        (5,),
        classes,
    ),
    "DiagonalAffine-condition": Entry(
        tgb.DiagonalAffine,
        lambda d: tgb.DiagonalAffine(3, dtype=d, **amortized(d)),
        (3,),
        features,
    ),
    "DiagonalScaling": Entry(tgb.DiagonalScaling, lambda d: tgb.DiagonalScaling(3, dtype=d), (3,)),
    "GaussianPrior": Entry(tgb.GaussianPrior, lambda d: tgb.GaussianPrior(2, dtype=d), (2, 2, 2)),
    "GaussianPrior-classes": Entry(
        tgb.GaussianPrior,
        lambda d: tgb.GaussianPrior(2, num_classes=3, dtype=d),
        (2, 2, 2),
        classes,
    ),
    "GlowStep": Entry(tgb.GlowStep, image_step, (2, 2, 4)),
    "GlowStep-vector": Entry(tgb.GlowStep, vector_step, (4,)),
    "Invert": Entry(tgb.Invert, lambda d: tgb.Invert(autoregressive(d)), (4,)),
    "Invert-condition": Entry(
        tgb.Invert,
        lambda d: tgb.Invert(autoregressive(d, condition_shape=(3,))),
        (4,),
        features,
    ),
    "Invertible1x1Conv-lu": Entry(
        tgb.Invertible1x1Conv, lambda d: tgb.Invertible1x1Conv(4, seed=0, dtype=d), (4,)
    ),
    "Invertible1x1Conv-plain": Entry(
        tgb.Invertible1x1Conv,
        lambda d: tgb.Invertible1x1Conv(4, parameterization="plain", seed=0, dtype=d),
        (2, 2, 4),
    ),
    "Logit": Entry(
        tgb.Logit,  # In a chain, since the contract is on events of rank 1 or more.
        lambda d: tgb.Chain([tgb.Logit(1e-3, low=-0.5, high=0.5), tgb.ActNorm(2, dtype=d)]),
        (2,),
    ),
    "MarginalGaussianization": Entry(
        tgb.MarginalGaussianization,
        lambda d: tgb.MarginalGaussianization(3, bins=4, dtype=d),
        (2, 3),
    ),
    "MaskedAutoregressive": Entry(tgb.MaskedAutoregressive, autoregressive, (4,)),
    "MaskedAutoregressive-condition": Entry(
        tgb.MaskedAutoregressive, lambda d: autoregressive(d, condition_shape=(3,)), (4,), features
    ),
    "MaskedAutoregressive-spline": Entry(
        tgb.MaskedAutoregressive, lambda d: autoregressive(d, law="spline"), (4,)
    ),
    "MultiScale": Entry(tgb.MultiScale, multiscale, (4, 4, 1)),
    "MultiScale-classes": Entry(
        tgb.MultiScale, lambda d: multiscale(d, num_classes=3), (4, 4, 1), classes
    ),
    "Permutation": Entry(tgb.Permutation, lambda d: tgb.Permutation([2, 0, 1, 3], dtype=d), (4,)),
    "Permutation-tokens": Entry(
        tgb.Permutation, lambda d: tgb.Permutation([2, 0, 1], event_ndims=2, dtype=d), (3, 2)
    ),
    "Planar": Entry(tgb.Planar, lambda d: tgb.Planar(3, seed=0, dtype=d), (3,)),
    "Planar-condition": Entry(
        tgb.Planar, lambda d: tgb.Planar(3, seed=0, dtype=d, **amortized(d)), (3,), features
    ),
    "Radial": Entry(tgb.Radial, lambda d: tgb.Radial(3, seed=0, dtype=d), (3,)),
    "Recompute": Entry(tgb.Recompute, lambda d: tgb.Recompute(vector_step(d)), (4,)),
    "Recompute-condition": Entry(
        tgb.Recompute,
        lambda d: tgb.Recompute(vector_step(d, condition_shape=(3,))),
        (4,),
        features,
    ),
    "Repeat": Entry(tgb.Repeat, lambda d: tgb.Repeat(lambda: image_step(d), 3), (2, 2, 4)),
    "Repeat-condition": Entry(
        tgb.Repeat,
        lambda d: tgb.Repeat(lambda: vector_step(d, condition_shape=(3,)), 3),
        (4,),
        features,
    ),
    "Repeat-residual": Entry(tgb.Repeat, lambda d: tgb.Repeat(lambda: residual(d), 2), (3,)),
    "Repeat-residual-reversible": Entry(
        tgb.Repeat, lambda d: tgb.Repeat(lambda: residual(d), 2, reversible=True), (3,)
    ),
    "Repeat-reversible": Entry(
        tgb.Repeat, lambda d: tgb.Repeat(lambda: image_step(d), 3, reversible=True), (2, 2, 4)
    ),
    "Repeat-unroll": Entry(
        tgb.Repeat, lambda d: tgb.Repeat(lambda: vector_step(d), 3, unroll=True), (4,)
    ),
    "ResidualBlock": Entry(tgb.ResidualBlock, residual, (3,)),
    "ResidualBlock-condition": Entry(
        tgb.ResidualBlock, lambda d: residual(d, condition_shape=(3,)), (3,), features
    ),
    "ResidualBlock-image": Entry(tgb.ResidualBlock, image_residual, (2, 2, 1)),
    "ReversibleUnit": Entry(
        tgb.ReversibleUnit,
        lambda d: tgb.ReversibleUnit(factory(d), factory(d), event_shape=4, dtype=d),
        (4,),
    ),
    "Squeeze": Entry(tgb.Squeeze, lambda d: tgb.Squeeze(2), (4, 2, 3)),
    "Squeeze-3": Entry(tgb.Squeeze, lambda d: tgb.Squeeze(3), (3, 6, 1)),
    "Standardized": Entry(
        tgb.Standardized,
        lambda d: tgb.Standardized(
            coupling("affine", d, condition_shape=(3,)),
            mean=[1.0, -2.0, 0.5, 3.0, 0.0],
            deviation=[0.5, 2.0, 1.5, 1.0, 0.7],
            condition_mean=[0.1, 0.2, 0.3],
            condition_deviation=[1.0, 2.0, 0.5],
        ),
        (5,),
        features,
    ),
    "Sylvester-condition": Entry(
        tgb.Sylvester,
        lambda d: tgb.Sylvester(3, directions=2, seed=0, dtype=d, **amortized(d)),
        (3,),
        features,
    ),
    "Sylvester-householder": Entry(
        tgb.Sylvester,
        lambda d: tgb.Sylvester(3, basis="householder", seed=0, dtype=d),
        (3,),
    ),
    "Sylvester-orthogonal": Entry(
        tgb.Sylvester, lambda d: tgb.Sylvester(4, directions=2, seed=0, dtype=d), (4,)
    ),
}


def coupling_of_four(dtype: str) -> tgb.Coupling:
    return tgb.Coupling(mlp(4, 2, dtype), dtype=dtype)


# One entry of each kind, with a condition where it takes one, for what takes long.
ONE_OF_EACH = sorted(
    {
        entry.kind: name
        for conditional in (False, True)
        for name, entry in sorted(REGISTRY.items(), reverse=True)
        if (entry.condition is not None) == conditional
    }.values()
)
