"""Predictors combined by what each has lately told of rows that it had not learned from."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_SIGNIFICANT = 1.5  # standard errors of a correlation of independent columns
_SWEEPS = 100


class Stacking(nn.Module):
    """Shares of predictors: non-negative least squares on recent predictions, each made before learning.

    A predictor whose correlation with the target could be chance has no share at all, so that nothing is descended on
    where there is nothing.

    Parameters
    ----------
    names : sequence of str
        Of the predictors, in a fixed order. Some may be absent from a call.
    memory : float
        Rows whose predictions are remembered.

    References
    ----------
    Breiman, "Stacked regressions", Machine Learning 1996, for the non-negative least squares; Tibshirani, "Regression
    shrinkage and selection via the lasso", JRSS B 1996, for the threshold.
    """

    products: Tensor
    covariances: Tensor
    rows: Tensor

    def __init__(self, names: Sequence[str], *, memory: float) -> None:
        super().__init__()
        self.names, self.memory = tuple(names), memory
        size = len(self.names)
        self.register_buffer("products", torch.zeros(size, size, dtype=torch.float64))
        self.register_buffer("covariances", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("rows", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def combine(self, names: Sequence[str], predictions: Tensor, target: Tensor, *, learn: bool) -> Tensor:
        """Return shares (f,) of predictions (f, n, q) of a white target (n, q), from the rows remembered and these.

        With ``learn``, these are remembered.
        """
        n = len(target)
        flat = predictions.reshape(len(names), -1)
        places = torch.tensor([self.names.index(name) for name in names], device=target.device)
        products, covariances = self.products.clone(), self.covariances.clone()
        products[places[:, None], places] += (flat @ flat.T).double()
        covariances[places] += (flat @ target.reshape(-1)).double()
        rows = float(self.rows) + n
        if learn:
            kept = math.exp(-n / self.memory)
            self.products.copy_(products * kept)
            self.covariances.copy_(covariances * kept)
            self.rows.fill_(rows * kept)
        gram = products[places[:, None], places] / rows
        deviations = gram.diagonal().sqrt()
        threshold = _SIGNIFICANT * deviations / math.sqrt(rows)
        return _solve_nonnegative(gram, covariances[places] / rows - threshold).to(target)


def _solve_nonnegative(gram: Tensor, right: Tensor) -> Tensor:
    """Minimise x'Gx/2 - r'x over x >= 0 by coordinate descent; G is given a ridge of a thousandth."""
    matrix, wanted = gram.tolist(), right.tolist()
    size = len(wanted)
    diagonal = [1.001 * matrix[i][i] for i in range(size)]
    x = [0.0] * size
    for _ in range(_SWEEPS):
        change = 0.0
        for i in range(size):
            if diagonal[i] <= 0.0:
                continue
            row = matrix[i]
            rest = wanted[i] - sum(row[j] * x[j] for j in range(size) if j != i)
            new = max(0.0, rest / diagonal[i])
            change, x[i] = max(change, abs(new - x[i])), new
        if change < 1e-4:
            break
    return torch.tensor(x, dtype=gram.dtype)
