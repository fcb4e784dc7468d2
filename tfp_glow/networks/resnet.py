"""The residual network of RealNVP's couplings."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_glow.core.checks import check_positive_int, check_sizes
from tfp_glow.core.randomness import independent_seeds
from tfp_glow.networks.conv import ActNormConv2D, ZeroConv2D
from tfp_glow.networks.conv_network import ConvNetwork

__all__ = ["ResNet"]


@keras.saving.register_keras_serializable("tfp_glow")
class ResNet(ConvNetwork):
    """Residual blocks of two 3x3 convolutions between a 3x3 and a 1x1 convolution.

        h_0 = conv(x),   h_i = h_{i-1} + conv(relu(conv(relu(h_{i-1})))),   y = conv(relu(h_n))

    Every convolution but the last is followed by activation normalization, set from data by
    `initialize`, where the paper has weight and batch normalization. The last starts at zero.

    Args:
      outputs: Channels of the output.
      hidden_channels: Channels within.
      blocks: Number of residual blocks.
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

        network = ResNet(6, hidden_channels=64, blocks=4, inputs=(32, 32, 3), seed=0)
        network(tf.zeros([8, 32, 32, 3]))     # [8, 32, 32, 6]

    References:
      Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv:1605.08803,
      section 3.7 and appendix.
    """

    def __init__(
        self,
        outputs: int,
        *,
        hidden_channels: int,
        blocks: int,
        inputs: tuple[int, int, int],
        condition_size: int | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        check_positive_int(outputs, "outputs")
        check_positive_int(hidden_channels, "hidden_channels")
        check_sizes(inputs, "inputs")
        check_positive_int(blocks, "blocks")
        *seeds, last = independent_seeds(seed, 2 * blocks + 2)
        super().__init__(
            hidden_channels=hidden_channels,
            condition_size=condition_size,
            seed=last,
            dtype=dtype,
            name=name,
        )
        options = {"dtype": self.dtype_policy}
        self.first, *inner = [
            ActNormConv2D(hidden_channels, 3, seed=layer_seed, name=f"conv_{index}", **options)
            for index, layer_seed in enumerate(seeds)
        ]
        self.blocks = list(zip(inner[::2], inner[1::2], strict=True))
        self.last = ZeroConv2D(outputs, 1, name="last", **options)
        hidden_shape = (None, *inputs[:2], hidden_channels)
        self.first.build((None, *inputs))
        for layer in (*inner, self.last):
            layer.build(hidden_shape)
        self.built = True

    def _apply(self, x, embedded, run):
        hidden = run(self.first, x) + embedded
        for one, two in self.blocks:
            hidden += run(two, tf.nn.relu(run(one, tf.nn.relu(hidden))))
        return self.last(tf.nn.relu(hidden))
