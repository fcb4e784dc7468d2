"""What a surrogate posterior is fitted to: a pinned joint distribution, or a log density."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfp_glow.core.compat import latents_by_name, log_prob_by_name
from tfp_glow.inference.unconstrained import Joint, check_pinned

__all__ = ["Target", "check_finite", "check_structure", "check_target", "target_log_prob"]

Target = Joint | Callable


def check_target(target, argument: str = "target") -> Target:
    """Returns a pinned joint distribution or a callable."""
    is_density = callable(target) and not isinstance(target, Joint)
    return target if is_density else check_pinned(target, argument)


def check_structure(target: Target, surrogate) -> None:
    """Raises unless a surrogate draws the latents of a joint distribution.

    A dictionary or named tuple is taken by its names, any other structure in its order.

    Raises:
      ValueError: If it does not; it names the first latent that differs.
    """
    if not isinstance(target, Joint):
        return
    expected = latents_by_name(target, target.event_shape)
    received = _by_name(surrogate.event_shape, list(expected))
    for name in (*expected, *received):
        if expected.get(name) != received.get(name):
            raise ValueError(
                "surrogate must draw the latents of the joint distribution, of which "
                f"{name!r} has event shape {expected.get(name)}. Received: {received.get(name)}."
            )


def target_log_prob(target: Target, draws) -> tf.Tensor:
    """log p(x, data) of the latents x, in the structure that they are drawn in."""
    if isinstance(target, Joint):
        return target.unnormalized_log_prob(draws)
    if isinstance(draws, dict):
        return target(**draws)
    return target(*draws) if isinstance(draws, list | tuple) else target(draws)


def check_finite(target: Target, draws) -> None:
    """Raises unless the target is finite at all draws.

    Raises:
      ValueError: If it is not; it names the parts of a joint distribution that are not.
    """
    total = np.asarray(target_log_prob(target, draws))
    wrong = ~np.isfinite(total)
    if not wrong.any():
        return
    where = ""
    if isinstance(target, Joint):
        parts = log_prob_by_name(target, draws)
        where = f", of {[name for name, part in parts.items() if not np.isfinite(part).all()]}"
    raise ValueError(
        "target must have a finite log-density where the surrogate draws. "
        f"Received: {total[wrong][0]} at {wrong.sum()} of {wrong.size} draws{where}."
    )


def _by_name(shapes, names: list[str]) -> dict:
    if hasattr(shapes, "_asdict"):
        return dict(shapes._asdict())
    if isinstance(shapes, dict):
        return dict(shapes)
    parts = [shapes] if isinstance(shapes, tf.TensorShape) else list(shapes)
    more = (f"part {place}" for place in range(len(names), len(parts)))
    return dict(zip([*names, *more], parts, strict=False))
