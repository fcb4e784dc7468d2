"""Normalizing flows for TensorFlow Probability that train with Keras 3."""

from tfp_glow import bijectors, classifiers, data, domains, flows, inference, laws, layers, networks
from tfp_glow.attributes import attribute_direction, manipulate, recondition
from tfp_glow.core.modes import collected_penalties, evaluation
from tfp_glow.denoising import Noised, denoise
from tfp_glow.dequantization import Dequantized
from tfp_glow.domains import DomainMap, DomainMapModel
from tfp_glow.export import export_saved_model
from tfp_glow.flow import Flow, standard_normal
from tfp_glow.flow_classifier import FlowClassifier
from tfp_glow.flow_matching import flow_matching_loss
from tfp_glow.inference import VAE
from tfp_glow.latents import interpolate, join_levels, mix_levels, split_levels
from tfp_glow.model import FlowModel
from tfp_glow.tracking import Tracked
from tfp_glow.worker_backup import WorkerBackup

__all__ = [
    "VAE",
    "Dequantized",
    "DomainMap",
    "DomainMapModel",
    "Flow",
    "FlowClassifier",
    "FlowModel",
    "Noised",
    "Tracked",
    "WorkerBackup",
    "attribute_direction",
    "bijectors",
    "classifiers",
    "collected_penalties",
    "data",
    "denoise",
    "domains",
    "evaluation",
    "export_saved_model",
    "flow_matching_loss",
    "flows",
    "inference",
    "interpolate",
    "join_levels",
    "laws",
    "layers",
    "manipulate",
    "mix_levels",
    "networks",
    "recondition",
    "split_levels",
    "standard_normal",
]

__version__ = "0.2.0"
