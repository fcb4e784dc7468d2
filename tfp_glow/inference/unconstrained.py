"""The latents of a pinned joint distribution as one unconstrained vector."""

from __future__ import annotations

import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.bases import has_batch_shape
from tfp_glow.core.compat import latent_distributions, latents_by_name
from tfp_glow.inference.supports import SimplexVolume, check_support, simplex_sizes

__all__ = [
    "Joint",
    "check_pinned",
    "constraining_bijector",
    "latent_dtype",
    "latent_sizes",
    "pinned_data",
]

tfb, tfd = tfp.bijectors, tfp.distributions
Joint = tfp.experimental.distributions.JointDistributionPinned


def check_pinned(joint, argument: str = "joint") -> Joint:
    """Returns a pinned joint distribution whose latents have continuous supports.

    Raises:
      TypeError: If it is not pinned, or a latent is discrete.
      ValueError: If a latent has a batch shape, or no bijector to all of its support, or none is
        left.
    """
    if not isinstance(joint, Joint):
        raise TypeError(
            f"{argument} must be a joint distribution that is pinned at its data, "
            f"model.experimental_pin(y=data). Received: {joint!r}."
        )
    latents = latent_distributions(joint)
    if not latents:
        raise ValueError(f"{argument} must have latents. Received: all pinned, {list(joint.pins)}.")
    for name, distribution in latents.items():
        _check_latent(name, distribution, f"latent {name!r} of {argument}")
    if has_batch_shape(joint):
        raise ValueError(f"{argument} must have batch shape (). Received: {joint.batch_shape}.")
    return joint


def latent_dtype(joint: Joint) -> tf.DType:
    """The dtype that all latents share."""
    dtypes = {dtype.name for dtype in tf.nest.flatten(joint.dtype)}
    if len(dtypes) != 1:
        raise TypeError(f"joint must have latents of one dtype. Received: {joint.dtype}.")
    return tf.as_dtype(dtypes.pop())


def latent_sizes(joint: Joint) -> dict[str, int]:
    """The number of unconstrained values of each latent, by its name."""
    return {
        name: sum(map(math.prod, tf.nest.flatten(shapes)))
        for name, shapes in latents_by_name(joint, _unconstrained_shapes(joint)).items()
    }


def pinned_data(joint: Joint) -> tuple[str, tf.Tensor]:
    """Name and value of what an amortized surrogate is conditioned on, the one pinned value."""
    if len(joint.pins) != 1:
        raise ValueError(
            "joint must be pinned at one value, the data, where there is an encoder. "
            f"Received: pins {sorted(joint.pins)}."
        )
    return next(iter(joint.pins.items()))


def constraining_bijector(joint: Joint) -> tfb.Chain:
    """Maps vectors `[..., size]` to the joint's structure, by TFP's bijectors to its supports.

    The vector is split into the latents in the order of `tf.nest`, each part is
    reshaped to its latent's unconstrained shape, and mapped to the latent's support, which may
    depend on the latents before it. Log-dets are those in which TFP's densities integrate to 1.
    """
    shapes = _unconstrained_shapes(joint)
    sizes = [math.prod(shape) for shape in tf.nest.flatten(shapes)]
    places = tf.nest.pack_sequence_as(shapes, range(len(sizes)))
    simplices = [
        k for latent in latent_distributions(joint).values() for k in simplex_sizes(latent)
    ]
    return tfb.Chain(
        [
            joint.experimental_default_event_space_bijector(),
            tfb.JointMap(tf.nest.map_structure(lambda shape: tfb.Reshape(list(shape)), shapes)),
            tfb.Restructure(places),
            tfb.Split(sizes),
            SimplexVolume(simplices),
        ]
    )


def _unconstrained_shapes(joint: Joint):
    shapes = joint.experimental_default_event_space_bijector().inverse_event_shape(
        joint.event_shape
    )
    if not all(shape.is_fully_defined() for shape in tf.nest.flatten(shapes)):
        raise ValueError(f"joint must have latents of known shapes. Received: {shapes}.")
    return shapes


def _check_latent(name: str, distribution: tfd.Distribution, latent: str) -> None:
    kind = type(distribution).__name__
    if not all(dtype.is_floating for dtype in tf.nest.flatten(distribution.dtype)):
        raise TypeError(
            f"{latent} must be continuous: marginalize it out of the model, or pin it. "
            f"Received: {kind} of {distribution.dtype.name}."
        )
    try:
        bijector = distribution.experimental_default_event_space_bijector()
    except NotImplementedError:
        bijector = None
    if bijector is None:
        raise ValueError(
            f"{latent} must have a default bijector to its support, as discrete distributions and "
            f"mixtures have none. Received: {kind}."
        )
    check_support(distribution, latent)
    if has_batch_shape(distribution):
        raise ValueError(
            f"{latent} must have batch shape (): make it part of the event by tfd.Sample or "
            "tfd.Independent, or use an AutoBatched joint distribution. "
            f"Received: batch shape {distribution.batch_shape}."
        )
