"""Normal scores and whitening of columns."""

from __future__ import annotations

import torch
from torch import Tensor

from ..marginals import center_within

__all__ = ["normal_scores", "whitened"]


def normal_scores(values: Tensor, groups: Tensor | None = None) -> Tensor:
    """Each column's ranks (within groups) as normal quantiles, ties at their mean: a map that changes no information.

    Examples
    --------
    >>> import torch
    >>> [round(v, 2) for v in normal_scores(torch.tensor([[3.0], [9.0], [27.0]])).squeeze(1).tolist()]
    [-0.97, 0.0, 0.97]
    """
    if groups is not None:
        out = torch.zeros_like(values)
        for label in torch.unique(groups):
            out[groups == label] = normal_scores(values[groups == label])
        return out
    columns = []
    for column in values.T.contiguous():
        order = column.sort().values
        below, upto = torch.searchsorted(order, column), torch.searchsorted(order, column, right=True)
        columns.append(torch.special.ndtri((below + upto).double() / (2 * len(column))).float())
    return torch.stack(columns, dim=1)


def whitened(values: Tensor, groups: Tensor | None = None) -> Tensor:
    """Centre within groups and rotate to uncorrelated unit columns; directions that do not vary are dropped."""
    centred = center_within(values, groups)[0].double()
    eigenvalues, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    keep = eigenvalues > 1e-7 * eigenvalues.max().clamp(min=1e-30)
    if not bool(keep.any()):
        return torch.zeros(len(values), 1)
    return (centred @ (vectors[:, keep] / eigenvalues[keep].sqrt())).float()
