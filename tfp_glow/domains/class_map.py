"""Maps by classes, through the normal distributions that the classes' latents really have."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_number, check_positive_int
from tfp_glow.core.randomness import random_generator
from tfp_glow.domains.batches import check_both_labelled, check_two
from tfp_glow.domains.by_class import ByClass
from tfp_glow.domains.domain_map import DomainMap
from tfp_glow.domains.side import Side

__all__ = ["ClassMap"]


class ClassMap:
    """Translates by a trained map with the tie `ByClass`, with what is not tied drawn by class.

    By the flows, the latents that are not tied know nothing of the class. After a short training
    they do, and drawing them without it spoils what the tied ones say. Here the latents of each
    class c on each side are the normal distribution that those of given data have,

        z = mean_c + L_c n,     n ~ N(0, I),     L_c L_c' the covariance, the tied latents first

    so that the tied n depend on the tied z alone. To translate, the class is read from the tied
    latents, their n are carried over, and the other n are drawn:

        c = argmax p(c given z_x),   n = L_c^-1 (z_x - mean_c),   z_y = mean_c + L_c (t n)

    Args:
      domain_map: A trained map with the tie `ByClass`.
      x: Examples of the one domain, such as those of the training.
      labels_x: Their class ids.
      y: Examples of the other domain.
      labels_y: Their class ids.
      shrinkage: Part of each covariance that is its diagonal alone, between 0 and 1, for classes of
        fewer examples than latents.
      batch_size: Examples encoded at once.

    Raises:
      TypeError: If `domain_map` is no DomainMap, or labels are no integers.
      ValueError: If it has another tie, labels are missing or out of range, or a class has fewer
        than two examples on a side.

    Example:

        class_map = ClassMap(model.domain_map, images, labels_x, sounds, labels_y)
        sounds = class_map.translate(new_images, temperature=0.7, seed=0)
    """

    def __init__(
        self,
        domain_map: DomainMap,
        x,
        labels_x,
        y,
        labels_y,
        *,
        shrinkage: float = 0.2,
        batch_size: int = 256,
    ):
        if not isinstance(domain_map, DomainMap):
            raise TypeError(f"domain_map must be a DomainMap. Received: {domain_map!r}.")
        if not isinstance(domain_map.tie, ByClass):
            raise ValueError(
                f"domain_map must have the tie ByClass(...). Received: tie={domain_map.tie!r}."
            )
        check_two((x, y))
        check_both_labelled((x, y), (labels_x, labels_y), domain_map.tie.num_classes)
        check_number(shrinkage, "shrinkage", above=0, below=1)
        self._tie = domain_map.tie
        size = check_positive_int(batch_size, "batch_size")
        self._x, self._y = (
            _ClassNormals(side, self._tie.num_classes, data, np.ravel(labels), shrinkage, size)
            for side, data, labels in (
                (domain_map._x, x, labels_x),
                (domain_map._y, y, labels_y),
            )
        )

    def translate(self, x, *, temperature: float = 1.0, seed: int | None = None) -> np.ndarray:
        """Maps x to y.

        Args:
          x: `[N, *event_x]`.
          temperature: Factor t of n, of what is carried over and of what is drawn.
          seed: Seed of what is drawn.

        Returns:
          y, `[N, *event_y]`.
        """
        return self._carried(x, self._x, self._y, temperature, seed)

    def translate_back(self, y, *, temperature: float = 1.0, seed: int | None = None) -> np.ndarray:
        """Maps y to x, as `translate`."""
        return self._carried(y, self._y, self._x, temperature, seed)

    def _carried(self, data, source, target, temperature, seed) -> np.ndarray:
        check_number(temperature, "temperature", least=0)
        random = random_generator(seed)
        z = source.latents(data)
        tied = z[:, : source.shared]
        classes = np.argmax(self._tie.logits(tf.constant(tied[:, ::-1])), -1)
        n = random.standard_normal([len(z), target.size])
        n[:, : target.shared] = source.tied_noise(tied, classes)
        return target.data(temperature * n, classes)


class _ClassNormals:
    """The latents of one side by class, from the last to the first, so that the tied come first."""

    def __init__(self, side: Side, num_classes: int, data, labels, shrinkage, batch_size):
        self._side, self._batch_size = side, batch_size
        self._encode = tf.function(side.encode, reduce_retracing=True, autograph=False)
        self._decode = tf.function(side.decode, reduce_retracing=True, autograph=False)
        z = self.latents(data).astype(np.float64)
        counts = np.bincount(labels, minlength=num_classes)
        if counts.min() < 2:
            raise ValueError(
                f"{side.argument} must have two examples of each class at least. "
                f"Received: {counts.min()} of class {counts.argmin()}."
            )
        self._means = [z[labels == label].mean(0) for label in range(num_classes)]
        self._factors = [_factor(z[labels == label], shrinkage) for label in range(num_classes)]

    @property
    def shared(self) -> int:
        """Number of tied latents."""
        return self._side.shared

    @property
    def size(self) -> int:
        """Number of all latents."""
        return self._side.shared + self._side.rest_size

    def latents(self, data) -> np.ndarray:
        """`[N, size]` of data."""
        data = self._side.as_data(data)
        parts = [
            np.concatenate(self._encode(data[start : start + self._batch_size]), -1)
            for start in range(0, len(data), self._batch_size)
        ]
        return np.concatenate(parts)[:, ::-1]

    def tied_noise(self, tied: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """n of tied latents."""
        noise = np.zeros(tied.shape)
        for label in np.unique(classes):
            own, shared = classes == label, self.shared
            factor = self._factors[label][:shared, :shared]
            away = tied[own] - self._means[label][:shared]
            noise[own] = np.transpose(tf.linalg.triangular_solve(factor, away.T))
        return noise

    def data(self, noise: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Data of the latents mean_c + L_c n."""
        z = np.zeros(noise.shape)
        for label in np.unique(classes):
            own = classes == label
            z[own] = self._means[label] + noise[own] @ self._factors[label].T
        z = z[:, ::-1].astype(self._side.flow.dtype.as_numpy_dtype)
        parts = np.array_split(z, math.ceil(len(z) / self._batch_size))
        rest = self._side.rest_size
        decoded = [self._decode(part[:, :rest], part[:, rest:]) for part in parts]
        return np.asarray(self._side.data(tf.concat(decoded, 0)))


def _factor(z: np.ndarray, shrinkage: float) -> np.ndarray:
    """The Cholesky factor of the covariance of rows, drawn towards its diagonal."""
    covariance = np.atleast_2d(np.cov(z.T))
    diagonal = np.diag(np.diag(covariance) + 1e-6)
    return np.linalg.cholesky((1.0 - shrinkage) * covariance + shrinkage * diagonal)
