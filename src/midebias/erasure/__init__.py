"""Erasure of an attribute from representations that exist already: as many columns out as in."""

from .eraser import MIEraser

__all__ = ["MIEraser"]
