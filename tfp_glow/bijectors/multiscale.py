"""Levels of flow that factor out a part of the latents each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tfp_glow.core.bijector import FlowBijector, initialize_part
from tfp_glow.core.checks import check_number
from tfp_glow.core.conditions import common_condition_shape, condition_for
from tfp_glow.core.passes import FORWARD, INVERSE, broadcast_batch

__all__ = ["MultiScale", "factored_channels"]


class MultiScale(FlowBijector):
    """Stacks blocks, each on the channels that the one before it kept.

        inverse:  h_0 = x,  (h_l, z_l) = split(block_l^-1(h_{l-1})),  z_L = block_L^-1(h_{L-1})
                  z = concat(flat(z_1), ..., flat(z_L))

    forward runs the same backwards. The log-det is the sum of those of the blocks. Of the
    C channels that a block gives, the last round(factor_out * C) become its z_l and the
    others are kept. A prior of z_l given h_l is the last bijector of block l: a
    `Coupling(law="affine_exp", mask=...)`; a learned prior of z_L is a `GaussianPrior` at the
    end of the last block.

    Args:
      blocks: One bijector a level, from the data inwards; the last factors nothing out.
      event_shape: Shape of the data's event, `(H, W, C)` or `(C,)`.
      factor_out: Fraction of the channels that leaves at each level but the last.
      name: Name of the bijector.

    Shapes: x `[..., *event_shape]`, z `[..., D]` with D the size of an event, finest level first.

    Raises:
      ValueError: If there is no block, a level would keep or factor out nothing, or the blocks
        do not fit the event shape.

    Example:

        blocks = [Chain([Squeeze(), GlowStep(12, network)]), Squeeze()]
        flow = MultiScale(blocks, (32, 32, 3))
        z = flow.inverse(images)       # [batch, 3072]

    References:
      Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv:1605.08803,
      section 3.6.
    """

    def __init__(
        self,
        blocks: Sequence[FlowBijector],
        event_shape: Sequence[int],
        *,
        factor_out: float = 0.5,
        name: str | None = None,
    ):
        blocks = list(blocks)
        if not blocks:
            raise ValueError("blocks must hold at least one bijector. Received: [].")
        check_number(factor_out, "factor_out", above=0, below=1)
        super().__init__(
            forward_min_event_ndims=1,
            inverse_min_event_ndims=len(tuple(event_shape)),
            condition_shape=common_condition_shape(blocks),
            dtype=next((b.dtype for b in blocks if b.dtype is not None), None),
            name=name,
        )
        self._event_shape = tf.TensorShape(tuple(event_shape))
        self._factor_out = factor_out
        self._block_shapes = self._trace_block_shapes(blocks)
        self._blocks = blocks

    def _trace_block_shapes(self, blocks) -> list[tuple[int, ...]]:
        """The shape that each block gives, before its split."""
        *inner, last = blocks
        shapes, shape = [], self._event_shape
        for block in inner:
            *positions, channels = block_shape = tuple(block.inverse_event_shape(shape))
            shapes.append(block_shape)
            shape = tf.TensorShape([*positions, channels - self._factored(block_shape)])
        return [*shapes, tuple(last.inverse_event_shape(shape))]

    def _factored(self, shape: Sequence[int]) -> int:
        return factored_channels(shape[-1], self._factor_out)

    @property
    def level_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of z_1 .. z_L before they are flattened into z."""
        *inner, last = self._block_shapes
        return (*((*shape[:-1], self._factored(shape)) for shape in inner), last)

    def _inverse_and_log_det(self, x, condition=None):
        self._check_event_shape(x)
        return self._encode(x, condition, initialize=False)

    def _initialize(self, x, condition=None):
        self._check_event_shape(x)
        return self._encode(x, condition, initialize=True)[0]

    def _encode(self, x, condition, *, initialize: bool):
        total = broadcast_batch(0.0, x, self._event_shape.rank)
        parts, h = [], x
        for index, block in enumerate(self._blocks):
            block_condition = condition_for(block, condition)
            if initialize:
                h = initialize_part(block, h, block_condition)
            else:
                ndims = len(self._block_shapes[index])
                h, log_det = INVERSE(block, h, block_condition, event_ndims=ndims)
                total += log_det
            if index < len(self._blocks) - 1:
                factored = self._factored(h.shape)
                h, z = tf.split(h, [h.shape[-1] - factored, factored], axis=-1)
                parts.append(self._flat(z))
        return tf.concat([*parts, self._flat(h)], -1), total

    def _forward_and_log_det(self, z, condition=None):
        self._check_latent(z)
        batch = tf.shape(z)[:-1]
        total = broadcast_batch(0.0, z, 1)
        parts = tf.split(z, [math.prod(shape) for shape in self.level_shapes], axis=-1)
        h = None
        for part, shape, block in zip(
            reversed(parts), reversed(self.level_shapes), reversed(self._blocks), strict=True
        ):
            part = tf.reshape(part, tf.concat([batch, shape], 0))
            part = tf.ensure_shape(part, z.shape[:-1].concatenate(shape))
            h = part if h is None else tf.concat([h, part], -1)
            block_condition = condition_for(block, condition)
            h, log_det = FORWARD(block, h, block_condition, event_ndims=len(shape))
            total += log_det
        return h, total

    def _flat(self, value):
        batch = value.shape.rank - self._event_shape.rank
        size = math.prod(value.shape[batch:])
        flat = tf.reshape(value, tf.concat([tf.shape(value)[:batch], [size]], 0))
        return tf.ensure_shape(flat, value.shape[:batch].concatenate([size]))

    def _check_event_shape(self, x) -> None:
        event_shape = x.shape[x.shape.rank - self._event_shape.rank :]
        if not event_shape.is_compatible_with(self._event_shape):
            raise ValueError(
                f"x of {self.name} must have event shape {tuple(self._event_shape)}. "
                f"Received: shape {tuple(x.shape)}."
            )

    def _check_latent(self, z) -> None:
        size = self._event_shape.num_elements()
        if z.shape[-1] not in (None, size):
            raise ValueError(
                f"z of {self.name} must have {size} values in the last dimension. "
                f"Received: shape {tuple(z.shape)}."
            )

    def _forward_event_shape(self, shape):
        return self._event_shape

    def _inverse_event_shape(self, shape):
        return tf.TensorShape([self._event_shape.num_elements()])

    def _forward_event_shape_tensor(self, shape):
        return tf.constant(self._event_shape.as_list(), tf.int32)

    def _inverse_event_shape_tensor(self, shape):
        return tf.constant([self._event_shape.num_elements()], tf.int32)


def factored_channels(channels: int, factor_out: float) -> int:
    """How many of `channels` leave at a level."""
    factored = round(factor_out * channels)
    if not 0 < factored < channels:
        raise ValueError(
            f"factor_out must leave channels on both sides. Received: {factor_out}, which factors "
            f"{factored} of {channels} channels out."
        )
    return factored
