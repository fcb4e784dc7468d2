"""The bits/dim of a full-covariance Gaussian on the digits, to compare `tfp-glow train` with.

    python -m benchmarks.gaussian

The Gaussian is fitted to twenty dequantizations of the same training images, and measured on
twenty of the same test images.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_glow.data import load_images

DRAWS = 20


def main() -> None:
    """Prints the figure."""
    data = load_images("digits")
    generator = np.random.default_rng(0)
    train = dequantized(data.train, data.num_bins, generator)
    test = dequantized(data.test, data.num_bins, generator)
    dimensions = test.shape[1]
    log_prob = gaussian_log_prob(test, train.mean(0), np.cov(train.T)).mean()
    bits = (np.log(data.num_bins) * dimensions - log_prob) / (dimensions * np.log(2))
    print(f"Full-covariance Gaussian on the digits' test images: {bits:.4f} bits/dim")


def dequantized(batches: tf.data.Dataset, num_bins: int, generator) -> np.ndarray:
    """`[DRAWS * N, D]` real numbers from integer images."""
    images = np.concatenate(list(batches.as_numpy_iterator()))
    flat = images.reshape(len(images), -1)
    draws = [(flat + generator.random(flat.shape)) / num_bins - 0.5 for _ in range(DRAWS)]
    return np.concatenate(draws)


def gaussian_log_prob(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """log N(x; mean, covariance) of each row, in nats."""
    factor = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(factor, (x - mean).T)
    log_det = 2 * np.log(np.diag(factor)).sum()
    return -0.5 * ((whitened**2).sum(0) + log_det + x.shape[1] * np.log(2 * np.pi))


if __name__ == "__main__":
    main()
