"""What a trained density model of images does: sample, rebuild, interpolate, alter, measure.

Images go in and come out as integers, as numpy arrays.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_glow.attributes import attribute_direction, manipulate
from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.modes import evaluation
from tfp_glow.core.passes import condition_kwargs
from tfp_glow.dequantization import Dequantized
from tfp_glow.latents import interpolate

__all__ = [
    "bits_per_dim_of",
    "direction_of_images",
    "estimates_deviation",
    "interpolate_images",
    "manipulate_images",
    "mean_bits_per_dim",
    "reconstruct",
    "sample_images",
]


def sample_images(
    distribution: Dequantized,
    num: int,
    *,
    temperatures=(1.0,),
    condition=None,
    guidance: float | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> np.ndarray:
    """Draws images at several temperatures from the same noise.

    Args:
      distribution: Distribution over integer images.
      num: Images at each temperature.
      temperatures: Factors of the latents' noise.
      condition: `[num, ...]`, where the flow takes a condition.
      guidance: Weight of guidance by the class, where the flow takes it; see `Flow.sample`.
      seed: Seed of the noise.
      batch_size: Images drawn at once.

    Returns:
      Images `[len(temperatures), num, H, W, C]`.

    Raises:
      ValueError: If a temperature is negative.

    Example:

        cold, warm = sample_images(distribution, 16, temperatures=(0.5, 1.0), seed=1)
    """
    check_positive_int(num, "num")
    for temperature in temperatures:
        if not temperature >= 0:
            raise ValueError(f"temperature must be at least 0. Received: {temperature}.")

    @tf.function(reduce_retracing=True)
    def draw(count, temperature, batch_seed, condition):
        kwargs = condition_kwargs(condition) | ({} if guidance is None else {"guidance": guidance})
        return distribution.sample(count, temperature=temperature, seed=batch_seed, **kwargs)

    def draw_all(temperature):
        batches = [
            draw(
                tf.constant(min(batch_size, num - start)),
                tf.constant(temperature),
                tf.constant([seed, start]),
                None if condition is None else tf.constant(condition[start : start + batch_size]),
            )
            for start in range(0, num, batch_size)
        ]
        return np.concatenate(batches)

    return np.stack([draw_all(float(temperature)) for temperature in temperatures])


def reconstruct(distribution: Dequantized, images, *, condition=None, seed: int = 0) -> np.ndarray:
    """Encodes images to latents and decodes these, which gives the images back.

    Args:
      distribution: Distribution over integer images.
      images: Integers `[N, H, W, C]`.
      condition: `[N, ...]`, where the flow takes a condition.
      seed: Seed of the dequantization noise.
    """

    @tf.function
    def there_and_back(x):
        z = distribution.flow.encode(x, condition)
        # Through identity, or the flow's cache would hand x back undecoded.
        return distribution.quantize(distribution.flow.decode(tf.identity(z), condition))

    return there_and_back(distribution.dequantize(images, seed)).numpy()


def interpolate_images(
    distribution: Dequantized, start, end, *, steps: int = 8, condition=None, seed: int = 0
) -> np.ndarray:
    """Walks from images to others, on straight lines between their latents.

    Args:
      distribution: Distribution over integer images.
      start: Integers `[N, H, W, C]`.
      end: As many images.
      steps: Images on each path, both ends included.
      condition: `[N, ...]`, common to both ends, where the flow takes a condition.
      seed: Seed of the dequantization noise.

    Returns:
      Images `[N, steps, H, W, C]`.

    Raises:
      ValueError: If `steps` is below 2.
    """
    ends = [distribution.dequantize(images, seed) for images in (start, end)]

    @tf.function
    def walk(x, y):
        frames = interpolate(distribution.flow, x, y, steps=steps, condition=condition)
        return distribution.quantize(frames)

    return np.moveaxis(walk(*ends).numpy(), 0, 1)


def manipulate_images(
    distribution: Dequantized,
    images,
    direction,
    strengths,
    *,
    condition=None,
    seed: int = 0,
) -> np.ndarray:
    """Moves images along a direction of their latents.

    Args:
      distribution: Distribution over integer images.
      images: Integers `[N, H, W, C]`.
      direction: `[D]`, as `attribute_direction` gives it.
      strengths: Factors of the direction.
      condition: `[N, ...]`, where the flow takes a condition.
      seed: Seed of the dequantization noise.

    Returns:
      Images `[N, len(strengths), H, W, C]`.

    Raises:
      ValueError: If the direction or the strengths do not fit; see `manipulate`.
    """

    @tf.function
    def move(x):
        frames = manipulate(distribution.flow, x, direction, strengths, condition=condition)
        return distribution.quantize(frames)

    return np.moveaxis(move(distribution.dequantize(images, seed)).numpy(), 0, 1)


def direction_of_images(
    distribution: Dequantized, images_with, images_without, *, seed: int = 0, **kwargs
) -> tf.Tensor:
    """The `attribute_direction` from images without an attribute to those with it.

    Args:
      distribution: Distribution over integer images.
      images_with: Integers `[N, H, W, C]`.
      images_without: Integers `[M, H, W, C]`.
      seed: Seed of the dequantization noise.
      **kwargs: Further arguments of `attribute_direction`.
    """
    groups = [distribution.dequantize(images, seed) for images in (images_with, images_without)]
    return attribute_direction(distribution.flow, *groups, **kwargs)


def mean_bits_per_dim(
    distribution: Dequantized, batches: tf.data.Dataset, *, num_samples: int = 1, seed: int = 0
) -> float:
    """The mean of `bits_per_dim_of` over a data set.

    Example:

        mean_bits_per_dim(model.distribution, load_images("digits").test)
    """
    bits = bits_per_dim_of(distribution, batches, num_samples=num_samples, seed=seed)
    return float(np.mean(bits, dtype=np.float64))


def bits_per_dim_of(
    distribution: Dequantized, batches: tf.data.Dataset, *, num_samples: int = 1, seed: int = 0
) -> np.ndarray:
    """The bits per dimension of each image, the same each time for a seed.

    Args:
      distribution: Distribution over integer images.
      batches: Batches of images, or pairs of images and conditions.
      num_samples: Samples of the noise that the bound of an image is from; see `Dequantized`.
      seed: Seed of the dequantization noise.

    Returns:
      `[N]`.
    """

    @tf.function(input_signature=[batches.element_spec, tf.TensorSpec([2], tf.int32)])
    def measure(batch, batch_seed):
        images, condition = batch if isinstance(batch, tuple) else (batch, None)
        with evaluation():
            return distribution.bits_per_dim(
                images, condition, num_samples=num_samples, seed=batch_seed
            )

    return np.concatenate([measure(batch, [seed, index]) for index, batch in enumerate(batches)])


def estimates_deviation(
    distribution: Dequantized, batches: tf.data.Dataset, *, draws: int = 8, seed: int = 0
) -> float:
    """By how much the noise of estimated log-dets moves the bits per dimension of an image.

    Args:
      distribution: Distribution over integer images.
      batches: Batches of images, or pairs of images and conditions, of which the first counts.
      draws: Number of draws of the estimators' noise.
      seed: Seed of the dequantization noise.

    Returns:
      The standard deviation of one image's estimate; zero where every log-det is exact.

    Example:

        estimates_deviation(model.distribution, load_images("digits").test)
    """
    if not distribution.flow.log_det_is_estimate:
        return 0.0
    batch = next(iter(batches))
    images, condition = batch if isinstance(batch, tuple) else (batch, None)
    y = distribution.dequantize(images, seed)
    with evaluation():
        _, variance = distribution.flow.log_prob_moments(y, condition, draws=draws)
    return -float(distribution.to_bits_per_dim(tf.sqrt(tf.reduce_mean(variance))))
