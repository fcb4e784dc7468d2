"""Training without pairs and labels: likelihoods, and critics of what is translated."""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.substitution import substituted
from tfp_glow.domains.objective import Objective

__all__ = ["Adversarial"]


class Adversarial(Objective):
    """Likelihoods, and critics that tell translated data from those of the domain.

    The flows' loss is

        -likelihood_weight * (log p(x) / D_x + log p(y) / D_y)
            + softplus(-critic_y(translate(x))) + softplus(-critic_x(translate_back(y)))

    and that of each critic

        softplus(-critic(data)) + softplus(critic(translated)) + |grad critic(data)|^2 / 2

    whose last term keeps the critics smooth, without which they soon drown the likelihoods. The
    way back is exact whatever the critics say, so that there is no cycle loss.

    One optimizer trains both: the sum of the losses has the critics' weights constant in the one,
    and the translated data in the other.

    References:
      Grover, Chute, Shu, Cao and Ermon, "AlignFlow: Cycle Consistent Learning from Multiple
      Domains via Normalizing Flows", arXiv:1905.12892.
      Goodfellow et al., "Generative Adversarial Networks", arXiv:1406.2661, for the losses.
      Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually Converge?",
      arXiv:1801.04406, for the penalty.
    """

    def __init__(self, domain_map, likelihood_weight, critics):
        super().__init__(domain_map, likelihood_weight)
        self.critics = list(critics)
        self.realism = [keras.metrics.Mean(name=f"realism_{side}") for side in "xy"]

    def match(self, x, y, conditions, seed):
        seeds = tf.unstack(tfp.random.split_seed(seed, 2))
        x_side, y_side = self._sides
        to_x = self._translated(y, x_side, conditions[0], seeds[0])
        to_y = self._translated(x, y_side, conditions[1], seeds[1])
        return to_x, to_y

    def losses(self, x, y, matched, target, weights):
        total = self._likelihood_weight * tf.add_n(self._per_dim(x.log_prob, y.log_prob, weights))
        for real, fake, critic, realism in zip(
            (x, y), matched, self.critics, self.realism, strict=True
        ):
            realism.update_state(tf.sigmoid(_score(critic, fake)), weights)
            total += _critic_loss(critic, real.data, fake) + _flow_loss(critic, fake)
        return total

    def _translated(self, source, target, condition, seed):
        rest, _ = target.sample(tf.shape(source.tied)[:1], 1.0, seed)
        return target.decode(rest, source.tied, condition)


def _critic_loss(critic, real, fake):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(real)
        score = _score(critic, real)
    slope = tape.gradient(score, real)
    penalty = 0.5 * tf.reduce_sum(tf.square(slope), list(range(1, real.shape.rank)))
    of_fake = _score(critic, tf.stop_gradient(fake))
    return tf.nn.softplus(-score) + tf.nn.softplus(of_fake) + penalty


def _flow_loss(critic, fake):
    weights = critic.trainable_variables
    with substituted(weights, [tf.stop_gradient(weight.value) for weight in weights]):
        return tf.nn.softplus(-_score(critic, fake))


def _score(critic, x):
    """`[batch]`, in the dtype of x, which need not be the critic's."""
    return tf.cast(critic(x), x.dtype)[:, 0]
