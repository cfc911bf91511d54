"""Representations of several shapes, read as one row of numbers per sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .protocols import InputError, check_representation

__all__ = ["FeatureMap", "Shape", "Tokens", "check_shape", "summarize", "width_of"]


@dataclass(frozen=True)
class FeatureMap:
    """A representation of shape (n, channels, ...): read as each channel's mean and maximum over positions."""

    channels: int


@dataclass(frozen=True)
class Tokens:
    """A representation of shape (n, tokens, dim): read as each column's mean and maximum over tokens."""

    dim: int


Shape = int | FeatureMap | Tokens


def width_of(shape: Shape) -> int:
    """Columns of the summary."""
    if isinstance(shape, FeatureMap):
        return 2 * shape.channels
    return 2 * shape.dim if isinstance(shape, Tokens) else shape


def check_shape(h: Tensor, shape: Shape, name: str) -> None:
    """Raise `InputError` unless h is a finite floating tensor shaped as declared."""
    if not isinstance(h, Tensor):
        raise InputError(f"{name} must be a torch.Tensor, got {type(h).__name__}")
    if isinstance(shape, FeatureMap):
        right = h.ndim >= 3 and h.shape[1] == shape.channels
        expected = f"(n, {shape.channels}, ...)"
    elif isinstance(shape, Tokens):
        right = h.ndim == 3 and h.shape[2] == shape.dim
        expected = f"(n, tokens, {shape.dim})"
    else:
        right, expected = h.ndim == 2 and h.shape[1] == shape, f"(n, {shape})"
    if not right:
        raise InputError(f"{name} must have shape {expected}, got {tuple(h.shape)}")
    if not h.is_floating_point():
        raise InputError(f"{name} must have a floating dtype, got {h.dtype}")
    check_representation(h, name=name, least=0)


def summarize(h: Tensor, shape: Shape) -> Tensor:
    """One row per sample: vectors as they are, positions or tokens as mean and maximum; float32 at least."""
    if isinstance(shape, int):
        return h.float() if h.dtype in (torch.float16, torch.bfloat16) else h
    flat = h.flatten(2).transpose(1, 2) if isinstance(shape, FeatureMap) else h
    return torch.cat([flat.mean(dim=1, dtype=torch.float32), flat.amax(dim=1).float()], dim=1)
