"""The multilayer perceptron of a transformer's layer."""

from __future__ import annotations

import keras

from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.shapes import with_one_batch_dimension
from tfp_glow.networks.token_network import TokenNetwork

__all__ = ["TokenMLP"]


@keras.saving.register_keras_serializable("tfp_glow")
class TokenMLP(TokenNetwork):
    """Layer normalization and two dense layers for each token: the G of y = x + G(x).

        G(x) = gelu(normalize(x) U) W

    Args:
      expansion: Hidden units as a multiple of the width.
      dropout: Share of the output's values that training drops.
      drop_path: Share of the examples for which training drops the whole output (stochastic depth).
      seed: Seed of the initial weights and of what is dropped.
      dtype: Keras dtype or policy; Keras' own default when omitted.
      name: Name of the layer.

    Call with `[batch, tokens, width]`; returns the same shape.

    Raises:
      ValueError, TypeError: If `expansion` is no positive int.

    Example:

        TokenMLP()(tf.zeros([8, 64, 96]))     # [8, 64, 96]

    References:
      Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929, section 3.1.
    """

    def __init__(
        self,
        *,
        expansion: int = 4,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        seed: int | None = None,
        dtype=None,
        name: str | None = None,
    ):
        super().__init__(dropout=dropout, drop_path=drop_path, seed=seed, dtype=dtype, name=name)
        self.expansion = check_positive_int(expansion, "expansion")

    def _build(self, input_shape):
        width, (hidden_seed, out_seed) = input_shape[-1], self.seeds
        self.hidden = self.dense(self.expansion * width, width, hidden_seed, "gelu")
        self.out = self.dense(width, self.expansion * width, out_seed)

    def _apply(self, x):
        return with_one_batch_dimension(lambda rows: self.out(self.hidden(rows)), x, 1)
