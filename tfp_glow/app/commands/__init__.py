"""The commands of `tfp-glow`, a file each, in the order in which its help lists them."""

from tfp_glow.app.commands.anomalies import anomalies
from tfp_glow.app.commands.evaluate import evaluate
from tfp_glow.app.commands.export import export
from tfp_glow.app.commands.interpolate import interpolate
from tfp_glow.app.commands.manipulate import manipulate
from tfp_glow.app.commands.sample import sample
from tfp_glow.app.commands.train import train
from tfp_glow.app.commands.translate import translate

__all__ = ["COMMANDS"]

COMMANDS = (train, evaluate, sample, anomalies, interpolate, manipulate, translate, export)
