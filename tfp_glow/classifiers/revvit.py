"""Reversible Vision Transformer."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_glow.classifiers.classifier import Classifier
from tfp_glow.classifiers.ingredients import check_common, logits_of_vectors
from tfp_glow.classifiers.patch_embedding import PatchEmbedding
from tfp_glow.core.checks import check_positive_int
from tfp_glow.flows.ingredients import seeds_from
from tfp_glow.layers import Reversible
from tfp_glow.networks import SelfAttention, TokenMLP

__all__ = ["revvit"]


def revvit(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    patch_size: int = 4,
    depth: int = 6,
    width: int = 128,
    heads: int = 8,
    expansion: int = 4,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    store_activations: bool = False,
    seed: int | None = None,
    network_dtype: str | None = None,
    name: str = "revvit",
) -> Classifier:
    """A vision transformer of two residual streams, whose activations are rebuilt, not stored.

    The patches' embeddings enter both streams, x1 = x2. Each layer computes

        y1 = x1 + attention(x2),   y2 = x2 + mlp(y1)

    with layer normalization inside of both networks; all layers are one `Reversible` loop. The
    streams are joined, normalized and averaged over the tokens before the last layer.

    Args:
      image_shape: `(H, W, C)`.
      num_classes: Number of classes.
      patch_size: Side of a patch, a divisor of H and W.
      depth: Number of layers.
      width: Size of a token in each stream.
      heads: Heads of attention, a divisor of `width`.
      expansion: Hidden units of the MLPs as a multiple of `width`.
      dropout: Share of values that training drops behind attention and MLP.
      drop_path: Share of examples for which training drops an attention or MLP as a whole.
      store_activations: Whether to store what all layers compute, as in any Keras model. Values and
        gradients are the same.
      seed: Seed of all initial weights and of what is dropped.
      network_dtype: Keras dtype or policy of the networks, such as `"mixed_bfloat16"`; Keras'
        default when omitted. The streams stay in float32.
      name: Name of the model.

    Returns:
      A `Classifier`, a `keras.Model` from images `[batch, H, W, C]`, best of mean 0 and deviation
      1, to logits `[batch, num_classes]`.

    Raises:
      ValueError, TypeError: If an argument is out of its range, or patches do not fit the image.

    Example:

        model = revvit((32, 32, 3), 10, patch_size=4, depth=6, width=128, heads=8, seed=0)

    References:
      Mangalam, Fan, Li, Wu, Xiong, Feichtenhofer and Malik, "Reversible Vision Transformers",
      arXiv:2302.04869.
    """
    image_shape = check_common(image_shape, num_classes, seed, network_dtype)
    for argument, value in (("depth", depth), ("width", width), ("heads", heads)):
        check_positive_int(value, argument)
    seeds = seeds_from(seed)
    options = {"dropout": dropout, "drop_path": drop_path, "dtype": network_dtype}

    inputs = keras.Input(image_shape)
    x = PatchEmbedding(patch_size, width, seed=next(seeds))(inputs)
    x = Reversible(
        SelfAttention(heads, seed=next(seeds), **options),
        TokenMLP(expansion=expansion, seed=next(seeds), **options),
        depth=depth,
        store_activations=store_activations,
        name="layers",
    )(keras.layers.Concatenate()([x, x]))
    x = keras.layers.LayerNormalization(epsilon=1e-6, dtype="float32")(x)
    x = keras.layers.GlobalAveragePooling1D(data_format="channels_last", dtype="float32")(x)
    return Classifier(inputs, logits_of_vectors(x, num_classes, next(seeds)), name=name)
