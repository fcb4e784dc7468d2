"""This package's image flows, as `benchmarks.images` trains them."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from benchmarks.images import Images
from benchmarks.residual import Budget
from tfp_glow import Dequantized, FlowModel, flows
from tfp_glow.app.generation import mean_bits_per_dim

__all__ = ["train"]

SIZES = {
    "glow": {"levels": 2, "steps": 8, "hidden_channels": 96},
    "jet": {"blocks": 4, "channel_couplings": 2, "width": 48, "layers": 1},
    "tarflow": {"blocks": 4, "width": 64, "layers": 2},
}


def train(
    name: str, images: Images, budget: Budget, learning_rate: float, path: pathlib.Path
) -> dict:
    """Trains for the budget, saves, and measures.

    Returns:
      Bits per dimension of the test images, and what else there is to tell.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)
    flow = build(name, images.train.shape[1:])
    model = FlowModel(Dequantized(flow, images.num_bins), seed=0)
    model.compile(keras.optimizers.Adam(0.0, global_clipnorm=1.0), jit_compile=False)
    batches = tf.data.Dataset.from_generator(
        images.batches,
        output_signature=tf.TensorSpec([images.batch, *images.train.shape[1:]], tf.uint8),
    )
    pace = _Pace(budget, learning_rate, path.with_suffix(".keras"))
    model.fit(batches, epochs=10**6, steps_per_epoch=500, callbacks=[pace], verbose=2)
    model.save(path.with_suffix(".keras"))
    test = tf.data.Dataset.from_tensor_slices(images.test).batch(200)
    return {
        "bits_per_dim": mean_bits_per_dim(model.distribution, test),
        "steps": int(model.optimizer.iterations),
        "first_step_s": pace.first_step_s,
        "parameters": sum(int(np.prod(v.shape)) for v in flow.trainable_variables),
    }


def build(name: str, shape: Sequence[int]):
    """The untrained flow, of transformers with sixteen patches an image."""
    patches = {} if name == "glow" else {"patch_size": shape[0] // 4}
    return flows.RECIPES[name](shape, seed=0, **patches, **SIZES[name])


class _Pace(keras.callbacks.Callback):
    """Sets the learning rate by the time spent, saves now and then, and stops in time."""

    def __init__(self, budget: Budget, learning_rate: float, path: pathlib.Path):
        super().__init__()
        self._budget, self._highest, self._path = budget, learning_rate, path
        self.first_step_s = None

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self._budget.learning_rate(self._highest)

    def on_train_batch_end(self, batch, logs=None):
        if self.first_step_s is None:
            self.first_step_s = self._budget.seconds
        self.model.stop_training = self._budget.share >= 1.0

    def on_epoch_end(self, epoch, logs=None):
        self.model.save(self._path)
