"""Networks: plain modules without anything of mutual information in them."""

from .backbones import Backbone, backbone
from .classifier import Classifier
from .digits import NETWORKS, DigitClassifier, GlobalPoolClassifier
from .early_stopping import EarlyStopping
from .perceptron import build_perceptron
from .tap import Tap

__all__ = [
    "NETWORKS", "Backbone", "Classifier", "DigitClassifier", "EarlyStopping", "GlobalPoolClassifier", "Tap", "backbone",
    "build_perceptron",
]  # fmt: skip
