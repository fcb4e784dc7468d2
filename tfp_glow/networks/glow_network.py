"""The coupling network of Glow."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int, check_sizes
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.networks.conv import ActNormConv2D, ZeroConv2D
from tfp_glow.networks.conv_network import ConvNetwork

__all__ = ["GlowNetwork"]

# By trial; see "First steps" in benchmarks/README.md.
_FIRST_SCALE = 0.1


@keras.saving.register_keras_serializable("tfp_glow")
class GlowNetwork(ConvNetwork):
    """The coupling network of Glow: 3x3, 1x1 and 3x3 convolutions with ReLU between.

    The hidden convolutions start as N(0, 0.05) and are each followed by activation
    normalization, set from data by `initialize`. The last starts at zero, so that a
    coupling starts at its law's zero point, and with a scale of 0.1, not the paper's 1, so that
    the couplings of a deep flow do not all leave it in the first steps. Zero padding carries an
    indicator channel. A condition vector enters through a dense layer, added to the first
    convolution's output.

    Args:
      outputs: Channels of the output.
      hidden_channels: Channels of the two hidden layers.
      inputs: `(H, W, C)` of the input; builds the network.
      condition_size: Size of the condition vector, or None for no condition.
      seed: Seed of the initial weights.
      dtype: Keras dtype or policy, such as `"mixed_bfloat16"`.
      name: Name of the layer.

    Call with `[..., H, W, C]`, or with the list of that and a condition `[..., condition_size]`.
    Returns `[..., H, W, outputs]`.

    Raises:
      ValueError, TypeError: If a size is no positive int.

    Example:

        network = GlowNetwork(12, hidden_channels=64, inputs=(16, 16, 6), seed=0)
        network(tf.zeros([8, 16, 16, 6]))     # [8, 16, 16, 12]

    References:
      Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions",
      arXiv:1807.03039, section 5 and appendix B.
    """

    def __init__(
        self,
        outputs: int,
        *,
        hidden_channels: int,
        inputs: tuple[int, int, int],
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        check_positive_int(outputs, "outputs")
        check_positive_int(hidden_channels, "hidden_channels")
        check_sizes(inputs, "inputs")
        first, second, third = independent_seeds(seed, 3)
        super().__init__(
            hidden_channels=hidden_channels,
            condition_size=condition_size,
            seed=third,
            dtype=dtype,
            name=name,
        )
        options = {"dtype": self.dtype_policy}
        self.first = ActNormConv2D(hidden_channels, 3, seed=first, name="first", **options)
        self.second = ActNormConv2D(hidden_channels, 1, seed=second, name="second", **options)
        self.last = ZeroConv2D(outputs, 3, scale=_FIRST_SCALE, name="last", **options)
        self.first.build((None, *inputs))
        self.second.build((None, *inputs[:2], hidden_channels))
        self.last.build((None, *inputs[:2], hidden_channels))
        self.built = True

    def _apply(self, x, embedded, run):
        hidden = tf.nn.relu(run(self.first, x) + embedded)
        return self.last(tf.nn.relu(run(self.second, hidden)))
