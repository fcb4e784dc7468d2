"""What holds the latents of two domains together."""

from __future__ import annotations

import abc

import tensorflow as tf

__all__ = ["Tie"]


class Tie(tf.Module, abc.ABC):
    """A law of the tied latents of both sides, which the first `DomainMap` that has it builds."""

    _built_for = None

    def build(self, size: int, dtype: tf.DType) -> None:
        """Creates what there is for `size` latents, once.

        Raises:
          ValueError: If it was built for others.
        """
        if self._built_for is None:
            self._build(size, dtype)
            self._built_for = (size, dtype)
        elif self._built_for != (size, dtype):
            raise ValueError(
                f"tie must be one of its own for {size} latents of {dtype.name}. Received: the one "
                f"of a map with {self._built_for[0]} of {self._built_for[1].name}."
            )

    @abc.abstractmethod
    def _build(self, size: int, dtype: tf.DType) -> None:
        """Creates what there is for `size` latents."""

    @property
    def initialized(self) -> bool:
        """Whether `initialize` has run, or there is nothing for it to do."""
        return True

    def initialize(self, z_x, z_y) -> None:
        """Starts from the tied latents `[batch, size]` of a first batch."""

    def carry(self, z):
        """The tied latents of the one side from those of the other, its own inverse."""
        return z

    def get_config(self) -> dict:
        """The arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict) -> Tie:
        return cls(**config)
