"""The variational autoencoders of images that the command line trains."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import keras

from tfp_glow import flows
from tfp_glow.core.checks import check_choice, check_hidden_units, check_positive_int
from tfp_glow.flow import Flow
from tfp_glow.inference import VAE

__all__ = ["AUTOENCODERS", "POSTERIORS", "PRIORS"]

# Posteriors by name, of a size and a `condition_size`, whose parameters are affine in the features.
POSTERIORS: dict[str, Callable[..., Flow]] = {
    "gaussian": flows.gaussian,
    "planar": functools.partial(flows.planar, hidden_units=()),
    "radial": functools.partial(flows.radial, hidden_units=()),
    "sylvester": functools.partial(flows.sylvester, steps=4, hidden_units=()),
    "iaf": flows.iaf,
    "realnvp": flows.realnvp,
}
# Of latents, which have no data in which to find marginals before training.
PRIORS: dict[str, Callable[..., Flow] | None] = {
    "normal": None,
    "realnvp": functools.partial(flows.realnvp, marginal_bins=None),
    "maf": functools.partial(flows.maf, marginal_bins=None),
}


def autoencoder(
    posterior: str,
    image_shape: tuple[int, int, int],
    *,
    num_bins: int = 256,
    latents: int = 40,
    hidden_units: Sequence[int] = (300,),
    prior: str = "normal",
    warmup_steps: int = 0,
    seed: int = 0,
) -> VAE:
    """A VAE of integer images with dense encoder and decoder, mirrors of each other.

    Args:
      posterior: A name of `POSTERIORS`; all but the Gaussian one bend a `gaussian_base`.
      image_shape: `(H, W, C)`.
      num_bins: Number of integer values; 2 for Bernoulli pixels, others are discretized logistic.
      latents: Number of latents.
      hidden_units: Size of each hidden layer of the encoder; the decoder's go the other way.
      prior: A name of `PRIORS`.
      warmup_steps: See `VAE`.
      seed: Seed of the flows' weights and of the noise.
    """
    check_positive_int(latents, "latents")
    make_prior = PRIORS[check_choice(prior, PRIORS, "prior")]
    hidden, binary = check_hidden_units(hidden_units), num_bins == 2
    features = hidden[-1] if hidden else math.prod(image_shape)
    q = POSTERIORS[posterior](latents, condition_size=features, seed=seed)
    outputs = (*image_shape[:2], image_shape[2] * (1 if binary else 2))
    dense, layers = keras.layers.Dense, keras.layers
    return VAE(
        keras.Sequential(
            [
                keras.Input(image_shape),
                layers.Flatten("channels_last"),
                *(dense(n, "relu") for n in hidden),
            ]
        ),
        keras.Sequential(
            [
                keras.Input([latents]),
                *(dense(n, "relu") for n in reversed(hidden)),
                dense(math.prod(outputs)),
                layers.Reshape(outputs),
            ]
        ),
        posterior=q if posterior == "gaussian" else flows.gaussian_base(q, seed=seed),
        prior=None if make_prior is None else make_prior(latents, seed=seed),
        likelihood="bernoulli" if binary else "discretized_logistic",
        num_bins=None if binary else num_bins,
        warmup_steps=warmup_steps,
        seed=seed,
    )


AUTOENCODERS = {name: functools.partial(autoencoder, name) for name in POSTERIORS}
