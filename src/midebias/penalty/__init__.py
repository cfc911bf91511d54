"""Mutual information backpropagation: an estimator as a penalty on representations."""

from ..representations import FeatureMap, Tokens
from .batch import Criterion
from .dual_ascent import DualAscent
from .gradient_balance import GradientBalance
from .health import Health
from .mi_penalty import MIPenalty

__all__ = ["Criterion", "DualAscent", "FeatureMap", "GradientBalance", "Health", "MIPenalty", "Tokens"]
