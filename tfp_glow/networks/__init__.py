"""Keras 3 networks for couplings, and a head for classes; they know nothing of TFP."""

from tfp_glow.networks.attention import SelfAttention
from tfp_glow.networks.causal_transformer import CausalTransformer
from tfp_glow.networks.conv import ZeroConv2D
from tfp_glow.networks.glow_network import GlowNetwork
from tfp_glow.networks.image_reader import ImageReader
from tfp_glow.networks.image_vit import ImageViT
from tfp_glow.networks.level_classifier import LevelClassifier
from tfp_glow.networks.lipschitz import LipschitzConv2D, LipschitzDense
from tfp_glow.networks.lipschitz_networks import LipschitzConvNetwork, LipschitzMLP
from tfp_glow.networks.lipswish import LipSwish
from tfp_glow.networks.made import MADE
from tfp_glow.networks.mlp import MLP
from tfp_glow.networks.normalization import GroupNorm, LayerNorm
from tfp_glow.networks.preactivation import PreactivationConvs
from tfp_glow.networks.resnet import ResNet
from tfp_glow.networks.token_mlp import TokenMLP
from tfp_glow.networks.unet import UNet
from tfp_glow.networks.vit import ViT
from tfp_glow.networks.wavenet import WaveNet

__all__ = [
    "MADE",
    "MLP",
    "CausalTransformer",
    "GlowNetwork",
    "GroupNorm",
    "ImageReader",
    "ImageViT",
    "LayerNorm",
    "LevelClassifier",
    "LipSwish",
    "LipschitzConv2D",
    "LipschitzConvNetwork",
    "LipschitzDense",
    "LipschitzMLP",
    "PreactivationConvs",
    "ResNet",
    "SelfAttention",
    "TokenMLP",
    "UNet",
    "ViT",
    "WaveNet",
    "ZeroConv2D",
]
