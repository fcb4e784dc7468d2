"""The variational autoencoder, whose posterior and prior are flows."""

from __future__ import annotations

import functools
import math
import os

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.config import from_config, to_config
from tfp_glow.core import modes
from tfp_glow.core.checks import check_number, check_positive_int
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.core.shapes import with_one_batch_dimension
from tfp_glow.fitting import (
    check_data,
    check_examples,
    check_no_class_weight,
    check_weights_reach_the_loss,
)
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.inference.autoencoder_parts import check_parts
from tfp_glow.inference.export import export_autoencoder
from tfp_glow.inference.likelihoods import get_likelihood
from tfp_glow.probabilistic_model import ProbabilisticModel
from tfp_glow.signatures import batch_spec

__all__ = ["VAE"]

tfb, tfd = tfp.bijectors, tfp.distributions

# What `importance_weighted_bound` has in memory.
EXAMPLES_AT_ONCE, LATENTS_AT_ONCE = 64, 8192


@keras.saving.register_keras_serializable("tfp_glow")
class VAE(ProbabilisticModel):
    """A variational autoencoder: a latent z for each x, with flows as posterior and prior.

        x ~ p(x|z), of which the decoder gives the parameters,   z ~ prior
        q(z|x) = posterior given the encoder's features of x

    `fit` maximizes the evidence lower bound by samples z of q(z|x), one for each x:

        log p(x) >= E[log p(x|z) + log p(z) - log q(z|x)]        in nats

    or with `samples` = k above 1 the bound of importance-weighted autoencoders,

        log p(x) >= E[log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x)].

    During the first `warmup_steps` steps of training log p(z) - log q(z|x) is weighed from 0 up to
    1, so that the posterior does not fall back to the prior before the decoder makes use of z.
    Metrics and evaluation are always those of the whole bound.

    | | gives |
    | --- | --- |
    | `fit`, `evaluate` | loss, `nats` of minus the bound, `kl`, `reconstruction`; of integers |
    | | `bits_per_dim` |
    | `predict(x)` | the bound `[N]` of each example, in nats |
    | `model(x)` | log p(x|z) and log q(z|x) - log p(z), each `[samples, N]` |
    | `importance_weighted_bound(x, k)` | log p(x) `[N]` in nats, ever closer as k grows |
    | `encode`, `decode`, `reconstruct`, `sample` | latents and data |

    Nothing is initialized from data, since there are no latents to initialize from before there is
    an encoder: the flows start as they are built, near the identity. The noise of training follows
    from the seed and the step, so that a loaded model goes on as it would have.

    Args:
      encoder: A Keras model of x to features `[N, k]`. Like the decoder it is made of layers on a
        `keras.Input`, from which the shapes of the data are known.
      decoder: A Keras model of z `[N, size]` to the parameters of x: of x `[N, ..., C]` the logits
        `[N, ..., C]` for `"bernoulli"`, and locations and log-scales `[N, ..., 2 C]`, in this
        order along the last dimension, for the others.
      posterior: A `Flow` on latents `[size]` with a condition of size k, such as
        `flows.gaussian(size, condition_size=k)`, `flows.iaf(size, condition_size=k)` or
        `flows.gaussian_base(flows.planar(size, condition_size=k))`. Flows that are fast to sample
        are fast to train.
      prior: Any distribution on latents `[size]` without a condition, whose variables train too;
        the standard normal when omitted. Priors with fast densities are fast to train;
        recipes are better off with `marginal_bins=None`, since no data set their splines. A
        `.keras` file holds flows and distributions of numbers; of one over `tf.Variable`s, save the
        weights.
      likelihood: p(x|z) of each value of x, which are independent: `"bernoulli"` for zeros and
        ones, `"normal"` for real numbers, or `"discretized_logistic"` for integers, the logistic
        rounded to the nearest integer; its locations are in units in which the integers fill
        [-1/2, 1/2]. Scales lie within e^-7 and e^7.
      num_bins: Number of integers, 0 .. num_bins - 1, of `"discretized_logistic"`.
      samples: Samples of the latents for each example in `fit`, `evaluate` and `predict`.
      warmup_steps: Steps of training until the bound counts whole.
      seed: Seed of the noise, which is saved; a random one when omitted.
      name: Name of the model.

    Raises:
      TypeError, ValueError: If an argument is of another kind, the shapes of encoder, posterior,
        prior, decoder and data do not fit together, or data hold what the likelihood does not give.
        In data sets, which are not read in advance, such data make the loss NaN, and `fit` raises.

    Example:

        encoder = keras.Sequential([keras.Input([784]), keras.layers.Dense(300, "relu")])
        decoder = keras.Sequential(
            [keras.Input([40]), keras.layers.Dense(300, "relu"), keras.layers.Dense(784)]
        )
        posterior = flows.gaussian_base(flows.planar(40, hidden_units=(), condition_size=300))
        model = VAE(encoder, decoder, posterior=posterior, warmup_steps=5000)
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(binary_images, batch_size=100, epochs=30)
        log_prob = model.importance_weighted_bound(binary_images[:100], 5000)
        images = model.sample(16, seed=1)

    References:
      Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114.
      Rezende and Mohamed, "Variational Inference with Normalizing Flows", arXiv:1505.05770.
      Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", arXiv:1509.00519.
      Sonderby et al., "Ladder Variational Autoencoders", arXiv:1602.02282, section 2.3, of the
      warmup.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        posterior: Flow,
        prior: tfd.Distribution | None = None,
        likelihood: str = "bernoulli",
        num_bins: int | None = None,
        samples: int = 1,
        warmup_steps: int = 0,
        seed: int | None = None,
        name: str | None = None,
    ):
        law = get_likelihood(likelihood, num_bins)
        if prior is None and isinstance(posterior, Flow):
            # As a flow, so that its samples have a temperature.
            base = standard_normal(posterior.event_shape, posterior.dtype.name)
            prior = Flow(base, tfb.Identity(), name="standard_normal")
        check_parts(encoder, decoder, posterior, prior, law)
        super().__init__(posterior, prior, seed=seed, name=name)
        self._likelihood, self._given_likelihood = law, (likelihood, num_bins)
        self._samples = check_positive_int(samples, "samples")
        self._warmup_steps = check_number(warmup_steps, "warmup_steps", least=0)
        self.encoder, self.decoder = encoder, decoder
        self._event_shape = tuple(encoder.input_shape[1:])
        self.nats = self._counter = keras.metrics.Mean(name="nats")
        self.kl = keras.metrics.Mean(name="kl")
        self.reconstruction = keras.metrics.Mean(name="reconstruction")
        self.bits_per_dim = None
        if law.num_bins is not None:
            self.bits_per_dim = keras.metrics.Mean(name="bits_per_dim")

    # What callers use.

    @property
    def posterior(self) -> Flow:
        """q(z|x), given the encoder's features."""
        return self._distributions[0]

    @property
    def prior(self) -> tfd.Distribution:
        """p(z)."""
        return self._distributions[1]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        return self._event_shape

    @property
    def num_bins(self) -> int | None:
        """Number of integers of which data are one, None for real numbers."""
        return self._likelihood.num_bins

    def call(self, inputs, training: bool | None = None):
        """log p(x|z) and log q(z|x) - log p(z), each `[samples, N]`.

        `inputs` is x, or the triple of x, None and the seed of the noise. `training` reaches the
        layers inside by Keras' own call context.
        """
        x, _, seed = inputs if isinstance(inputs, tuple) else (inputs, None, None)
        x = self._as_data(x)
        with self._density_pass(training):
            return self._log_weights(x, self._features(x), self._samples, seed)

    def encode(self, x, *, temperature: float = 0.0, seed=None):
        """Latents `[N, size]` of data.

        Args:
          x: `[N, *event]`.
          temperature: 1 draws from q(z|x); 0 gives what noise of 0 becomes, its mean where the
            posterior is normal.
          seed: Seed of the noise.
        """
        self._likelihood.check(x)
        features = self._features(self._as_data(x))
        options = {"temperature": temperature, "condition": features, "seed": seed}
        return self.posterior.sample(tf.shape(features)[:1], **options)

    def decode(self, z):
        """The mean of p(x|z), `[..., *event]`; of the discretized logistic the median, integers."""
        return self._likelihood.center(self._parameters(z))

    def reconstruct(self, x, *, temperature: float = 0.0, seed=None):
        """`decode(encode(x))`."""
        return self.decode(self.encode(x, temperature=temperature, seed=seed))

    def sample(self, num: int, *, temperature: float = 1.0, seed=None):
        """Draws z from the prior and x from p(x|z), `[num, *event]`.

        `decode(prior.sample(num))` gives their means, which pictures often show.

        Args:
          num: Number of samples.
          temperature: Factor of the noise of z, for a prior that is a `Flow`.
          seed: An int or two ints, which give the same samples at every call, or None.
        """
        seeds = tfp.random.split_seed(tfp.random.sanitize_seed(stateless_seed(seed)), n=2)
        options = {} if _is_one(temperature) else {"temperature": temperature}
        if options and not isinstance(self.prior, Flow):
            raise ValueError(
                "temperature must be 1 for a prior that is no Flow. "
                f"Received: {temperature!r} and {self.prior!r}."
            )
        z = self.prior.sample(num, seed=seeds[0], **options)
        return self._likelihood.sample(self._parameters(z), seeds[1])

    def bound(self, x, *, seed=None):
        """The bound of log p(x) that training maximizes, `[N]` in nats, with noise of that seed."""
        return _bound(*self((x, None, stateless_seed(seed))))

    def importance_weighted_bound(self, x, samples: int, *, seed: int = 0) -> np.ndarray:
        """A lower bound of log p(x) in nats, `[N]`, which converges to it.

            log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x),    z_1 .. z_k from q(z|x)

        in one compiled loop over parts of the samples, so that memory does not grow with them.

        Args:
          x: `[N, *event]`.
          samples: The number k; 5000 is usual for an estimate of log p(x).
          seed: Seed of the samples.

        Example:

            model.importance_weighted_bound(binary_images, 5000).mean()
        """
        check_data(x)
        check_positive_int(samples, "samples")
        x = np.asarray(x)
        self._likelihood.check(x)
        batches = np.array_split(x, math.ceil(len(x) / EXAMPLES_AT_ONCE))
        seeds = tfp.random.split_seed(stateless_seed(seed), n=len(batches))
        bounds = [
            self._compiled_bound(self._as_data(batch), tf.constant(samples), batch_seed)
            for batch, batch_seed in zip(batches, seeds, strict=True)
        ]
        return np.concatenate(bounds)

    def predict(self, x, *args, **kwargs):
        """The bound `[N]` in nats; equal calls have equal noise."""
        if isinstance(x, np.ndarray) and not len(x):
            return np.zeros([0], "float32")
        check_data(x)
        self._likelihood.check(x)
        return super().predict(x, *args, **kwargs)

    def export_saved_model(self, path: str | os.PathLike) -> None:
        """Writes a SavedModel that TensorFlow alone loads and runs; see `export_autoencoder`."""
        export_autoencoder(self, path)

    # What Keras calls.

    def predict_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with modes.evaluation():
            return self.bound(x, seed=self._fixed_seed())

    def get_config(self) -> dict:
        parts = ("encoder", "decoder", "posterior", "prior")
        return {
            **{part: to_config(getattr(self, part), part) for part in parts},
            "likelihood": self._given_likelihood[0],
            "num_bins": self._given_likelihood[1],
            "samples": self._samples,
            "warmup_steps": self._warmup_steps,
            "seed": self._seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> VAE:
        parts = ("encoder", "decoder", "posterior", "prior")
        return cls(**{**config, **{part: from_config(config[part]) for part in parts}})

    # What `ProbabilisticModel` calls.

    def _example_losses(self, target, outputs, sample_weight):
        log_likelihood, kl = outputs
        nats = -_bound(log_likelihood, kl)
        self.nats.update_state(nats, sample_weight)
        self.kl.update_state(tf.reduce_mean(kl, 0), sample_weight)
        self.reconstruction.update_state(-tf.reduce_mean(log_likelihood, 0), sample_weight)
        if self.bits_per_dim is not None:
            bits = nats / (math.prod(self._event_shape) * math.log(2.0))
            self.bits_per_dim.update_state(bits, sample_weight)
        if modes.current().evaluating or not self._warmup_steps:
            return nats
        step = tf.cast(self.optimizer.iterations, kl.dtype)
        return -_bound(log_likelihood, tf.minimum(step / self._warmup_steps, 1.0) * kl)

    def _in_loss_units(self, nats):
        return nats

    def _roles(self, y) -> tuple:
        if y is not None:
            raise ValueError(f"y must be omitted: a VAE models x alone. Received: {y!r}.")
        return None, None

    def _check_fit(self, x, y, *, sample_weight=None, class_weight=None) -> None:
        self._roles(y)
        check_examples(x, tf.TensorShape(self._event_shape))
        check_weights_reach_the_loss(y, sample_weight)
        check_no_class_weight(class_weight)
        self._likelihood.check(x)

    def _signature(self) -> list:
        return [batch_spec(self._event_shape, self.posterior.dtype, "x")]

    # What is this class's own.

    def _as_data(self, x):
        x, shape = tf.convert_to_tensor(x), [None, *self._event_shape]
        if not x.shape.is_compatible_with(shape):
            sizes = ", ".join(map(str, self._event_shape))
            raise ValueError(f"x must have shape [N, {sizes}]. Received: shape {x.shape}.")
        return tf.ensure_shape(tf.cast(x, self.posterior.dtype), shape)

    def _features(self, x):
        return tf.cast(self.encoder(self._likelihood.for_encoder(x)), self.posterior.dtype)

    def _parameters(self, z):
        """The parameters of p(x|z)."""
        z = tf.convert_to_tensor(z, dtype_hint=self.posterior.dtype)
        return tf.cast(with_one_batch_dimension(self.decoder, z, 1), self.posterior.dtype)

    def _log_weights(self, x, features, samples, seed) -> tuple:
        """log p(x|z) and log q(z|x) - log p(z), `[samples, N]`."""
        shape = tf.stack([samples, tf.shape(features)[0]])
        z, log_q = self.posterior.experimental_sample_and_log_prob(
            shape, seed=stateless_seed(seed), condition=features
        )
        raw, event_ndims = self._parameters(z), len(self._event_shape)
        log_likelihood = self._likelihood.log_prob(raw, x, event_ndims=event_ndims)
        return log_likelihood, log_q - self.prior.log_prob(z)

    @functools.cached_property
    def _compiled_bound(self):
        (data,) = self._signature()
        number, seed = tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)
        return tf.function(
            self._bound_of_many, input_signature=[data, number, seed], autograph=False
        )

    def _bound_of_many(self, x, samples, seed):
        at_once = tf.maximum(LATENTS_AT_ONCE // tf.shape(x)[0], 1)
        with modes.evaluation():
            features = self._features(x)

            def add(start, total):
                part_seed = tf.random.experimental.stateless_fold_in(seed, start)
                log_likelihood, kl = self._log_weights(x, features, at_once, part_seed)
                wanted = start + tf.range(at_once) < samples
                weights = tf.where(wanted[:, tf.newaxis], log_likelihood - kl, -math.inf)
                total = tfp.math.log_add_exp(total, tf.reduce_logsumexp(weights, 0))
                return start + at_once, tf.ensure_shape(total, [None])

            nothing = tf.fill(tf.shape(x)[:1], tf.constant(-math.inf, x.dtype))
            _, total = tf.while_loop(
                lambda start, _: start < samples,
                add,
                (tf.constant(0), nothing),
                parallel_iterations=1,  # More of them would need as many times the memory.
            )
        return total - tf.math.log(tf.cast(samples, total.dtype))


def _bound(log_likelihood, kl):
    """log mean exp(log p(x|z) - kl) over the samples, `[N]`."""
    weights = log_likelihood - kl
    if weights.shape[0] == 1:
        return weights[0]
    count = tf.cast(tf.shape(weights)[0], weights.dtype)
    return tf.reduce_logsumexp(weights, 0) - tf.math.log(count)


def _is_one(temperature) -> bool:
    return not tf.is_tensor(temperature) and temperature == 1
