"""What changes other than by gradients: one protocol for bijectors, networks and layers."""

from __future__ import annotations

import keras

__all__ = ["Stateful"]


class Stateful:
    """What has state beside its trained weights, and the three moments at which that changes.

    | method | when | what |
    | --- | --- | --- |
    | `initialize` | once, before training | sets what comes from a first batch of data |
    | `advance` | once a training step | noise of estimators, power iterations |
    | `converge` | at the end of training | iterations until they stand still |

    Calls change nothing. A Keras network that derives from this class as well takes part
    wherever a bijector holds it; what it does not override does nothing.
    """

    @property
    def initialized_flags(self) -> list[keras.Variable]:
        """The saved booleans that tell whether `initialize` has run; none where it does nothing."""
        return []

    @property
    def advances(self) -> bool:
        """Whether `advance` does anything."""
        return False

    def initialize(self, inputs):
        """Sets what comes from data, and returns what a call gives."""
        return self(inputs)

    def advance(self) -> None:
        """Moves on what changes once a training step."""

    def converge(self) -> None:
        """Moves it on until it stands still."""
