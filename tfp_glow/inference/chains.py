"""What a run of Markov chains has drawn, and whether to trust it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.compat import latents_by_name
from tfp_glow.inference.extra import import_arviz
from tfp_glow.inference.unconstrained import Joint

if TYPE_CHECKING:
    import arviz

__all__ = ["Chains"]


@dataclasses.dataclass(frozen=True)
class Chains:
    """Draws of several Markov chains.

    Attributes:
      joint: The pinned joint distribution that was drawn from.
      samples: Draws in the joint's structure, each part `[draws, chains, *event]`, as
        `tfp.mcmc.sample_chain` orders them.
      stats: Values of each draw `[draws, chains]` by ArviZ's names: `lp`, the log-density that the
        kernel saw, in nats; `acceptance_rate`; `step_size`; `n_steps`, the gradients that the draw
        took; `diverging`.

    Example:

        chains.samples.tau, chains.rhat().tau, chains.effective_sample_size().tau
        arviz.summary(chains.to_inference_data())
    """

    joint: Joint
    samples: object
    stats: dict[str, tf.Tensor]

    def rhat(self):
        """R-hat of split chains of each value, in the joint's structure; 1 once they agree.

        References:
          Gelman and Rubin, "Inference from Iterative Simulation Using Multiple Sequences",
          Statistical Science 7, 1992.
        """
        return tf.nest.map_structure(
            lambda x: tfp.mcmc.potential_scale_reduction(x, split_chains=True), self.samples
        )

    def effective_sample_size(self):
        """Independent draws that tell as much about each value's mean as those of all chains."""
        return tf.nest.map_structure(
            lambda x: tfp.mcmc.effective_sample_size(
                x, cross_chain_dims=1, filter_beyond_positive_pairs=True
            ),
            self.samples,
        )

    def to_inference_data(self) -> arviz.InferenceData:
        """The draws, their statistics and the data as ArviZ's `InferenceData`.

        Raises:
          ImportError: If ArviZ is not installed, which the extra `inference` brings.
        """
        samples = latents_by_name(self.joint, self.samples)
        return import_arviz().from_dict(
            posterior={name: _chains_first(x) for name, x in samples.items()},
            sample_stats={name: _chains_first(x) for name, x in self.stats.items()},
            observed_data={name: np.asarray(x) for name, x in self.joint.pins.items()},
        )


def _chains_first(x) -> np.ndarray:
    return np.swapaxes(x, 0, 1)
