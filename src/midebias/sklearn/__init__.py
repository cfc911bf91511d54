"""scikit-learn estimators: give a table, its labels and what must not be learned."""

from .base import MIDebiasClassifier, MIDebiasRegressor, MIDebiasTransformer

__all__ = ["MIDebiasClassifier", "MIDebiasRegressor", "MIDebiasTransformer"]
