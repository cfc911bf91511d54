"""scikit-learn estimators: give a table, its labels and what must not be learned."""

from .classifier import MIDebiasClassifier
from .regressor import MIDebiasRegressor
from .transformer import MIDebiasTransformer

__all__ = ["MIDebiasClassifier", "MIDebiasRegressor", "MIDebiasTransformer"]
