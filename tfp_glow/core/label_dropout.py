"""Labels that training leaves out now and then."""

from __future__ import annotations

import keras

from tfp_glow.core.checks import check_seed

__all__ = ["LabelDropout"]


@keras.saving.register_keras_serializable("tfp_glow")
class LabelDropout(keras.layers.Layer):
    """Sets a share of the one-hot vectors to zero in training, and changes nothing else.

    Args:
      rate: The share.
      seed: Seed of the noise, whose state is a variable.

    Call with `[..., num_classes]`; returns the same shape and dtype.

    References:
      Ho and Salimans, "Classifier-Free Diffusion Guidance", arXiv:2207.12598, section 3.2.
    """

    def __init__(self, rate: float, *, seed: int | None):
        super().__init__(autocast=False, name="label_dropout")
        self.rate, self.seed = rate, check_seed(seed)
        self.noise_seed = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, vectors, training: bool = False):
        if not training:
            return vectors
        shape = (*keras.ops.shape(vectors)[:-1], 1)
        kept = keras.random.uniform(shape, seed=self.noise_seed) >= self.rate
        return vectors * keras.ops.cast(kept, vectors.dtype)

    def get_config(self) -> dict:
        return {"rate": self.rate, "seed": self.seed}
