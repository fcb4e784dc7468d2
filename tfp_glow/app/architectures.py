"""The architectures that the command line trains, by task."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping

from tfp_glow.app.autoencoders import AUTOENCODERS
from tfp_glow.classifiers import revnet, revvit
from tfp_glow.classifiers.irevnet import IRevNet
from tfp_glow.flows import RECIPES

__all__ = ["CLASSIFIERS", "FAMILIES", "FLOWS", "Family"]

# Flows on data; the others build on a flow, or are of its noise.
FLOWS = tuple(
    name
    for name, recipe in RECIPES.items()
    if not {"flow", "flows"} & set(inspect.signature(recipe).parameters)
    and name != "dequantization_noise"
)
CLASSIFIERS = ("revnet", "irevnet", "revvit")


@dataclasses.dataclass(frozen=True)
class Family:
    """Architectures of one task, of which a setting names one.

    Args:
      setting: Name of the setting.
      makers: Their functions by name; the first argument is the images' shape.
      default: Name of the one that is taken where none is named.
      suits: What suits small data, as the digits, by name, where the defaults are for more.
      needs_labels: Whether they are of use with labels alone.
      weight_decay: What suits small data.
    """

    setting: str
    makers: Mapping[str, Callable]
    default: str
    suits: Mapping[str, dict]
    needs_labels: bool = False
    weight_decay: float = 0.3

    def suiting(self, name: str) -> dict:
        """Settings for small data of the architecture with this name."""
        return {"weight_decay": self.weight_decay, **self.suits.get(name, {})}

    def accepted(self, name: str) -> set[str]:
        """The arguments of the architecture with this name."""
        make = self.makers[name]
        # What a class shows itself are the arguments of its `__new__`.
        called = make.__init__ if inspect.isclass(make) else make
        return set(inspect.signature(called).parameters)


FAMILIES = {
    "density": Family(
        setting="flow",
        makers={name: RECIPES[name] for name in FLOWS},
        default="glow",
        suits={
            "glow": {"steps": 32, "levels": 2, "hidden_channels": 32},
            # Its scales have far to go from 1, and decay would hold them there.
            "nice": {"hidden_units": [256, 256], "weight_decay": 0.0},
            "waveglow": {"levels": 2},
        },
    ),
    "table": Family(
        setting="flow",
        makers={name: RECIPES[name] for name in FLOWS},
        default="maf",
        suits={},
        weight_decay=0.1,
    ),
    "classify": Family(
        setting="model",
        makers=dict(zip(CLASSIFIERS, (revnet, IRevNet, revvit), strict=True)),
        default="revnet",
        suits={
            "revnet": {"units": [2, 2], "filters": [16, 32, 64]},
            "irevnet": {"units": [2, 2], "strides": [2, 2], "added_channels": 7},
            "revvit": {"patch_size": 4, "depth": 4, "width": 64, "heads": 4, "dropout": 0.2},
        },
        needs_labels=True,
    ),
    "vae": Family(
        setting="posterior",
        makers=AUTOENCODERS,
        default="iaf",
        suits={},
    ),
}
