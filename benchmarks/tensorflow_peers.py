"""The TensorFlow models that `benchmarks.peers` compares."""

from __future__ import annotations

import functools

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks.common import IMAGE_SHAPE, LEVELS, level_shapes, random_images
from benchmarks.training import glow, train_step
from tfp_glow import Flow, standard_normal
from tfp_glow.bijectors import (
    Chain,
    Coupling,
    GaussianPrior,
    GlowStep,
    MultiScale,
    Repeat,
    Squeeze,
)

__all__ = ["TensorFlowPeer", "ours", "ours_glow", "tfb_glow"]

tfb = tfp.bijectors
tfd = tfp.distributions


class TensorFlowPeer:
    """A distribution's training step and sampling as compiled graphs.

    Args:
      distribution: What is trained and sampled.
      batch: Examples of a step, and samples at a time.
    """

    def __init__(self, distribution: tfd.Distribution, batch: int):
        self._distribution = distribution
        self._x = tf.constant(random_images(batch))
        self._step = train_step(distribution)
        self._sample = tf.function(lambda: distribution.sample(batch))

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return sum(int(tf.size(v)) for v in self._distribution.trainable_variables)

    def first_step(self) -> None:
        """Initializes from data where the model has that apart from training, and steps."""
        if hasattr(self._distribution, "initialize"):
            self._distribution.initialize(self._x)
        self.train()

    def train(self) -> None:
        self._step(self._x).numpy()

    def sample(self) -> None:
        self._sample().numpy()


def ours(*, steps: int, width: int, batch: int) -> TensorFlowPeer:
    """This package's bijectors with plain Keras networks."""
    blocks = []
    for level, shape in enumerate(level_shapes(), start=1):
        step = functools.partial(_glow_step, shape, width)
        last = level == LEVELS
        prior = GaussianPrior(shape[-1]) if last else _split_prior(shape)
        blocks.append(Chain([Squeeze(2), Repeat(step, steps), prior]))
    base = standard_normal(int(np.prod(IMAGE_SHAPE)))
    return TensorFlowPeer(Flow(base, MultiScale(blocks, IMAGE_SHAPE)), batch)


def _glow_step(shape: tuple[int, int, int], width: int) -> GlowStep:
    *positions, channels = shape
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((*positions, channels // 2)),
            layers.Conv2D(width, 3, padding="same", activation="relu"),
            layers.Conv2D(width, 1, activation="relu"),
            layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros"),
        ]
    )
    return GlowStep(channels, network)


def _split_prior(shape: tuple[int, int, int]) -> Coupling:
    *positions, channels = shape
    kept = channels // 2
    network = keras.Sequential(
        [
            keras.layers.Input((*positions, kept)),
            keras.layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros"),
        ]
    )
    return Coupling(network, law="affine_exp", event_ndims=3)


def ours_glow(*, steps: int, width: int, batch: int) -> TensorFlowPeer:
    """`flows.glow`, with the networks of its own."""
    return TensorFlowPeer(glow(steps=steps, width=width), batch)


def tfb_glow(*, steps: int, width: int, batch: int) -> TensorFlowPeer:
    """`tfb.Glow` with its default networks of the given width."""
    bijector = tfb.Glow(
        output_shape=IMAGE_SHAPE,
        num_glow_blocks=LEVELS,
        num_steps_per_block=steps,
        coupling_bijector_fn=functools.partial(tfb.GlowDefaultNetwork, num_hidden=width),
        exit_bijector_fn=tfb.GlowDefaultExitNetwork,
    )
    base = tfd.Sample(tfd.Normal(0.0, 1.0), int(np.prod(IMAGE_SHAPE)))
    return TensorFlowPeer(tfd.TransformedDistribution(base, bijector), batch)
