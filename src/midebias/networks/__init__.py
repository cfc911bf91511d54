"""Networks: plain modules without anything of mutual information in them."""

from .classifier import Classifier
from .digits import NETWORKS, DigitClassifier, GlobalPoolClassifier
from .early_stopping import EarlyStopping
from .perceptron import build_perceptron

__all__ = ["NETWORKS", "Classifier", "DigitClassifier", "EarlyStopping", "GlobalPoolClassifier", "build_perceptron"]
