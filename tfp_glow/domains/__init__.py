"""Maps between two domains by two flows with one latent space."""

from tfp_glow.domains.by_class import ByClass
from tfp_glow.domains.class_map import ClassMap
from tfp_glow.domains.correlated import Correlated
from tfp_glow.domains.domain_map import DomainMap
from tfp_glow.domains.model import DomainMapModel

__all__ = ["ByClass", "ClassMap", "Correlated", "DomainMap", "DomainMapModel"]
