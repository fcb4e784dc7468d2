"""Checks that the parts of a variational autoencoder fit together."""

from __future__ import annotations

import keras
import tensorflow_probability as tfp

from tfp_glow.flow import Flow
from tfp_glow.inference.likelihoods import Likelihood

__all__ = ["check_parts"]

tfd = tfp.distributions


def check_parts(encoder, decoder, posterior, prior, likelihood: Likelihood) -> None:
    """Raises TypeError or ValueError where a part is none, or two do not fit together."""
    for argument, network in (("encoder", encoder), ("decoder", decoder)):
        _check_network(network, argument)
    if not isinstance(posterior, Flow):
        raise TypeError(
            "posterior must be a Flow with a condition, such as flows.gaussian(40, "
            f"condition_size=300). Received: {posterior!r}."
        )
    features, latents = tuple(encoder.output_shape[1:]), tuple(posterior.event_shape)
    if posterior.condition_shape != features or len(features) != 1:
        raise ValueError(
            "posterior must have a condition of the shape of the encoder's features, [k]. "
            f"Received: condition shape {posterior.condition_shape} and features {features}."
        )
    _check_prior(prior, posterior)
    if tuple(decoder.input_shape[1:]) != latents:
        raise ValueError(
            f"decoder must take latents of shape {latents}, those of the posterior. "
            f"Received: a decoder of shape {tuple(decoder.input_shape[1:])}."
        )
    *places, channels = encoder.input_shape[1:]
    wanted = (*places, likelihood.parameters_per_channel * channels)
    if tuple(decoder.output_shape[1:]) != wanted:
        raise ValueError(
            f"decoder must give parameters of shape {wanted}, {likelihood.parameters_per_channel} "
            f"for each value of x, of data of shape {tuple(encoder.input_shape[1:])}. "
            f"Received: shape {tuple(decoder.output_shape[1:])}."
        )


def _check_network(network, argument: str) -> None:
    if not isinstance(network, keras.Model):
        raise TypeError(f"{argument} must be a keras.Model. Received: {network!r}.")
    known = getattr(network, "input_shape", None), getattr(network, "output_shape", None)
    if not all(isinstance(shape, tuple) and len(shape) > 1 for shape in known):
        raise ValueError(
            f"{argument} must be a model with one keras.Input and one output, of known shapes, as "
            f"keras.Sequential([keras.Input([784]), ...]). Received: {network!r}."
        )
    if None in (*known[0][1:], *known[1][1:]):
        raise ValueError(f"{argument} must have shapes that are known. Received: {known}.")


def _check_prior(prior, posterior: Flow) -> None:
    if not isinstance(prior, tfd.Distribution):
        raise TypeError(f"prior must be a tfd.Distribution or None. Received: {prior!r}.")
    if getattr(prior, "condition_shape", None) is not None:
        raise ValueError(
            f"prior must take no condition. Received: condition shape {prior.condition_shape}."
        )
    if prior.event_shape != posterior.event_shape or prior.batch_shape.rank != 0:
        raise ValueError(
            f"prior must have events of shape {tuple(posterior.event_shape)}, those of the "
            f"posterior, and no batch. Received: event shape {tuple(prior.event_shape)}, batch "
            f"shape {tuple(prior.batch_shape)}."
        )
    if prior.dtype != posterior.dtype:
        raise ValueError(
            f"prior must have the posterior's dtype, {posterior.dtype.name}. "
            f"Received: {prior.dtype.name}."
        )
