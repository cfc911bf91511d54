"""The one builder of perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from ..errors import InputError

__all__ = ["perceptron"]


def perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with LeakyReLU between them. Raises `InputError` unless widths are at least 1."""
    if any(width < 1 for width in hidden):
        raise InputError(f"hidden must hold widths of at least 1, got {tuple(hidden)}")
    sizes = [inputs, *hidden]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))
