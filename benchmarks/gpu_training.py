"""Training of an exported flow on images, on JAX's first device."""

from __future__ import annotations

import math
import time

import jax
import numpy as np
from jax import numpy as jnp

from benchmarks.common import IMAGE_SHAPE, random_batches
from benchmarks.exported import Exported
from benchmarks.images import Images
from benchmarks.residual import Budget

__all__ = ["Training"]

# Steps between two looks at the losses, which wait for the device.
STEPS_A_LOOK = 50


class Training:
    """A flow's parameters, and what trains and measures them.

    Args:
      exported: The flow.
      data: Path of the images.
    """

    def __init__(self, exported: Exported, data: str):
        self.configuration = exported.configuration
        self.steps = 0
        self._batch = self.configuration["batch"]
        self._images = Images.load(data, halve=False, bits=8)
        (self._step, _), (self._evaluation, _) = map(exported.compile, ("step", "evaluation"))
        self._state, self._constants = jax.device_put((exported.state, exported.constants))
        self._parameters_of = exported.parameters_of
        self._draw = jax.jit(self._with_noise)

    @property
    def device_kind(self) -> str:
        """The name of the device."""
        return jax.devices()[0].device_kind

    def fit(self, budget: Budget, highest_rate: float) -> list[dict]:
        """Trains until the time is over.

        Returns:
          Bits per dimension of the training images on the way, means between two looks.
        """
        train = jnp.asarray(self._images.train)
        orders = random_batches(np.arange(len(train)), self._batch)
        key, losses, curve = jax.random.key(0), [], []
        while budget.share < 1.0:
            x = self._draw(train, next(orders), jax.random.fold_in(key, self.steps))
            rate = jnp.float32(budget.learning_rate(highest_rate))
            loss, *self._state = self._step([x, rate, *self._state, *self._constants])
            losses.append(loss)
            self.steps += 1
            if len(losses) == STEPS_A_LOOK:
                curve.append(self._look(losses, budget))
                losses = []
        return curve

    def measure(self) -> dict:
        """Bits per dimension of the test images, of one draw of the noise, and round trips."""
        test, start = jnp.asarray(self._images.test), time.perf_counter()
        z = jnp.zeros([self._batch, math.prod(IMAGE_SHAPE)])
        results = []
        for begin in range(0, len(test) - self._batch + 1, self._batch):
            order = np.arange(begin, begin + self._batch)
            x = self._draw(test, order, jax.random.key(begin + 1))
            results.append(self._evaluate(x, z)[:2])
        losses, errors = np.array(results, np.float64).T
        return {
            "bits_per_dim": losses.mean() + math.log2(self._images.num_bins),
            "test_images": len(results) * self._batch,
            "round_trip": errors.max(),
            "measuring_s": time.perf_counter() - start,
        }

    def sample(self, temperature: float) -> np.ndarray:
        """A batch of images."""
        shape = [self._batch, math.prod(IMAGE_SHAPE)]
        z = temperature * jax.random.normal(jax.random.key(1), shape)
        images = self._evaluate(jnp.zeros([self._batch, *IMAGE_SHAPE]), z)[2]
        bins = np.floor((np.asarray(images) + 0.5) * self._images.num_bins)
        return np.clip(bins, 0, self._images.num_bins - 1).astype(np.uint8)

    def _evaluate(self, x, z) -> list:
        parameters = self._parameters_of(self._state)
        return self._evaluation([x, z, *parameters, *self._constants])

    def _with_noise(self, images, order, key):
        """Some of the images as `Dequantized` gives them to a flow."""
        x = images[order].astype(jnp.float32)
        return (x + jax.random.uniform(key, x.shape)) / self._images.num_bins - 0.5

    def _look(self, losses: list, budget: Budget) -> dict:
        bits = float(jnp.stack(losses).mean()) + math.log2(self._images.num_bins)
        print(f"step {self.steps} {budget.seconds:.0f} s {bits:.4f}", flush=True)
        return {"step": self.steps, "seconds": budget.seconds, "bits_per_dim": bits}
