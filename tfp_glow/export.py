"""Export of a distribution as a SavedModel."""

from __future__ import annotations

import os

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.bases import check_one_distribution
from tfp_glow.core.modes import evaluation
from tfp_glow.core.passes import condition_kwargs
from tfp_glow.signatures import (
    batch_spec,
    checked_signature,
    example_specs,
    sampling_specs,
    write_saved_model,
)

__all__ = ["export_saved_model"]

tfd = tfp.distributions


def export_saved_model(distribution: tfd.Distribution, path: str | os.PathLike) -> None:
    """Writes a SavedModel that TensorFlow alone loads and runs.

    | signature | inputs | output |
    | --- | --- | --- |
    | `log_prob` | `x` `[batch, *event]` | `log_prob` `[batch]`, nats |
    | `sample` | `num_samples`, `temperature`, `seed`, scalars | `x` `[num_samples, *event]` |
    | `encode` | `x` | `z` `[batch, *latent]` |
    | `decode` | `z` | `x` |

    Each also takes `condition` where the flow takes one, int32 class ids or float32 features; for
    `sample` it is `[num_samples, ...]`.
    `Dequantized` is exported with integers as `x`, its flow's `encode` and `decode` with real
    numbers. A distribution without a bijector has `log_prob` and `sample` alone, and one that
    is no `Flow` samples at temperature 1 only.

    Args:
      distribution: A `Flow`, `Dequantized` or any TFP distribution.
      path: Folder to write; it must not exist.

    Raises:
      ValueError: If `path` exists or the distribution has a batch shape.
      TypeError: If `distribution` is no distribution.

    Example:

        export_saved_model(flow, "saved_model")
        sample = tf.saved_model.load("saved_model").signatures["sample"]
        images = sample(num_samples=tf.constant(4), temperature=tf.constant(0.7),
                        seed=tf.constant(1))["x"]
    """
    if not isinstance(distribution, tfd.Distribution):
        raise TypeError(f"distribution must be a TFP distribution. Received: {distribution!r}.")
    check_one_distribution(distribution, "distribution")
    write_saved_model(_Exported(distribution), path)


class _Exported(tf.Module):
    """The four functions with their input signatures."""

    def __init__(self, distribution: tfd.Distribution):
        super().__init__()
        self._distribution = distribution
        self._flow = getattr(distribution, "flow", distribution)
        self._takes_temperature = hasattr(self._flow, "decode")
        self._x, condition = example_specs(distribution)
        self._condition = [] if condition is None else [condition]

    def signatures(self) -> dict:
        """The traced functions by name."""
        functions = {
            "log_prob": (self._log_prob, [self._x]),
            "sample": (self._sample, sampling_specs()),
        }
        bijector = getattr(self._flow, "bijector", None)
        if bijector is not None:
            y = batch_spec(self._flow.event_shape, self._flow.dtype, "x")
            z_shape = bijector.inverse_event_shape(self._flow.event_shape)
            z = batch_spec(z_shape, self._flow.distribution.dtype, "z")
            functions["encode"] = (self._encode, [y])
            functions["decode"] = (self._decode, [z])
        return {
            name: checked_signature(function, [*specs, *self._condition])
            for name, (function, specs) in functions.items()
        }

    def _log_prob(self, x, condition=None):
        with evaluation():
            return {"log_prob": self._distribution.log_prob(x, **condition_kwargs(condition))}

    def _sample(self, num_samples, temperature, seed, condition=None):
        kwargs = condition_kwargs(condition)
        if self._takes_temperature:
            kwargs["temperature"] = temperature
        seed = tf.stack([seed, 0])
        return {"x": self._distribution.sample(num_samples, seed=seed, **kwargs)}

    def _encode(self, x, condition=None):
        return {"z": self._flow.bijector.inverse(x, **condition_kwargs(condition))}

    def _decode(self, z, condition=None):
        return {"x": self._flow.bijector.forward(z, **condition_kwargs(condition))}
