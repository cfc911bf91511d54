"""Held-out estimates of mutual information, with their uncertainty."""

from .estimate import bracket_mi, estimate_mi
from .result import MIBracket, MIEstimate

__all__ = ["MIBracket", "MIEstimate", "bracket_mi", "estimate_mi"]
