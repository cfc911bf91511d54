"""The encoder of tables and its head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..networks import build_perceptron
from .piecewise_linear import PiecewiseLinear
from .whitened_linear import WhitenedLinear

__all__ = ["TabularEncoder", "TabularNetwork"]

_ROWS_WHITENED = 65_536


class TabularEncoder(nn.Module):
    """From a table's columns (n, n_inputs) to z (n, dim): the sum of a linear map and a perceptron of ReLU units.

    Most tables are nearly additive. The linear map learns that part, and learns it well under a penalty, where a
    perceptron alone fits noise; z may take either sign. `Fit` trains it in the coordinates of `WhitenedLinear`, and
    decays the perceptron alone. After Cheng et al., "Wide & deep learning for recommender systems", 2016.

    Parameters
    ----------
    n_inputs : int
    hidden : sequence of int
        Widths of the perceptron; without any there is the linear map alone.
    dim : int
    reading : PiecewiseLinear, optional
        Both are given its code of the columns beside them.
    """

    def __init__(self, n_inputs: int, hidden: Sequence[int], dim: int, reading: PiecewiseLinear | None = None) -> None:
        super().__init__()
        self.reading = nn.Identity() if reading is None else reading
        n_inputs += 0 if reading is None else reading.pieces
        self.deep = build_perceptron(n_inputs, hidden, dim, activation=nn.ReLU) if hidden else None
        self.wide = WhitenedLinear(n_inputs, dim)

    @torch.no_grad()
    def whiten(self, x: Tensor) -> None:
        """Have the linear map learn in coordinates in which what it reads of x (n, n_inputs) is white.

        Of a large table every second row is looked at, every third, and so on.
        """
        self.wide.whiten(self.reading(x[:: -(-len(x) // _ROWS_WHITENED)]))

    def forward(self, x: Tensor) -> Tensor:
        """z (n, dim)."""
        x = self.reading(x)
        z: Tensor = self.wide(x)
        return z if self.deep is None else z + self.deep(x)


class TabularNetwork(nn.Module):
    """An encoder from a table's columns to z (n, dim) and a linear head."""

    def __init__(self, encoder: nn.Module, dim: int, n_outputs: int) -> None:
        super().__init__()
        self.encoder, self.dim = encoder, dim
        self.head = nn.Linear(dim, n_outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z (n, dim) and outputs (n, n_outputs)."""
        z: Tensor = self.encoder(x)
        return z, self.head(z)
