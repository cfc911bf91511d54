"""Numbers as a piecewise linear code, so that a network can tell apart what lies close together."""

from itertools import pairwise
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_ROWS_PER_PIECE = 100
_NARROWEST = 1e-4  # of a column's range: single precision must tell the ends of a piece apart
_LEAST_DEVIATION = 0.2  # or a value that one row in a thousand has would speak up to thirty times as loud


class PiecewiseLinear(nn.Module):
    """x (n, p) beside a piecewise linear code of its columns: (n, p + pieces).

    A column becomes one number for each of its pieces: 0 below the piece, 1 above it, and linear in between; less its
    mean over the rows learned from, over its standard deviation there, so that what is rare is learned as fast as the
    rest. Pieces end at quantiles of the *distinct* values, since what is rare may matter most.

    Parameters
    ----------
    columns : integer Tensor of shape (pieces,)
        Which column each piece is of.
    low, high : Tensor of shape (pieces,)
        Where it begins and ends. Means are 0 and deviations 1 until `fit` finds them.

    References
    ----------
    Gorishniy, Rubachev, Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022.
    """

    def __init__(self, columns: Tensor, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.columns, self.low, self.width = map(nn.Buffer, (columns, low, high - low))
        self.mean, self.deviation = nn.Buffer(torch.zeros_like(low)), nn.Buffer(torch.ones_like(low))

    @classmethod
    def fit(cls, x: NDArray[np.float64], max_pieces: int) -> Self | None:
        """The code of the columns of x (n, p): at most ``max_pieces`` pieces each, and one for a hundred rows.

        None where that leaves fewer than two pieces of any column; columns of two values are left as they are.
        """
        pieces = min(max_pieces, len(x) // _ROWS_PER_PIECE)
        found: list[tuple[int, float, float]] = []
        for j in range(x.shape[1] if pieces >= 2 else 0):
            values = np.unique(x[:, j])
            if len(values) > pieces + 1:
                values = values[np.linspace(0, len(values) - 1, pieces + 1).round().astype(int)]
            ends = _merge_close(values)
            if len(ends) > 2:
                found += [(j, low, high) for low, high in pairwise(ends)]
        if not found:
            return None
        columns, low, high = zip(*found, strict=True)
        code = cls(torch.tensor(columns), torch.tensor(low).double(), torch.tensor(high).double())
        rows = torch.from_numpy(x)
        for at in torch.arange(code.added).split(max_pieces):  # all pieces of a large table at once would not fit
            part = code._code_pieces(rows, at)
            code.mean[at], code.deviation[at] = part.mean(dim=0), part.std(dim=0, correction=0)
        code.deviation.clamp_(min=_LEAST_DEVIATION)
        return code

    @property
    def added(self) -> int:
        """Pieces of all columns: how many columns are added to x."""
        return len(self.columns)

    def forward(self, x: Tensor) -> Tensor:
        """The columns x (n, p) and their code: (n, p + pieces)."""
        return torch.cat([x, self._code_pieces(x).sub_(self.mean).div_(self.deviation)], dim=1)

    def _code_pieces(self, x: Tensor, at: Tensor | slice = slice(None)) -> Tensor:
        chosen = x.index_select(1, self.columns[at])  # its own memory, in which the rest is done
        return chosen.sub_(self.low[at]).div_(self.width[at]).clamp_(0, 1)


def _merge_close(ends: NDArray[np.float64]) -> list[float]:
    """Ends that are not too close to the one before; the last is kept in any case."""
    least = _NARROWEST * (ends[-1] - ends[0])
    kept = [float(ends[0])]
    for end in ends[1:-1].tolist():
        if end - kept[-1] > least and ends[-1] - end > least:
            kept.append(end)
    return [*kept, float(ends[-1])] if len(ends) > 1 else kept
