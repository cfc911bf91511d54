"""Normal scores of columns: ranks as quantiles of the normal distribution."""

import torch
from torch import Tensor


def compute_normal_scores(values: Tensor, groups: Tensor | None = None) -> Tensor:
    """Compute each column's ranks (within groups) as normal quantiles, ties at their mean: information is kept."""
    if groups is not None:
        out = torch.zeros_like(values)
        for label in torch.unique(groups):
            out[groups == label] = compute_normal_scores(values[groups == label])
        return out
    columns = []
    for column in values.T.contiguous():
        order = column.sort().values
        below, upto = torch.searchsorted(order, column), torch.searchsorted(order, column, right=True)
        columns.append(torch.special.ndtri((below + upto).double() / (2 * len(column))).float())
    return torch.stack(columns, dim=1)
