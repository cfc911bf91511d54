"""Regressions by which c follows an exponential family given z: logistic ones, and their like for quantities."""

from typing import NamedTuple

import torch
from torch import Tensor

_PENALTIES = (0.5, 5.0, 50.0)  # of squared weights, over the number of rows
_ENOUGH = 1000  # rows of which a fourth alone says which penalty


class Regression(NamedTuple):
    r"""Rows of :math:`\log p(c|x) = x W f(c) + \text{start} - \log(\text{sum})`, where the sum is over values of c."""

    x: Tensor
    """(n, d)"""
    own: Tensor
    """(n, t), f of the rows' own c"""
    starts: Tensor
    """(n, m), logits of values of c to start from"""
    others: Tensor
    """(m, t), f of these values"""
    own_starts: Tensor | None = None
    """(n,), where own c are summed over as well"""

    def take(self, rows: Tensor) -> "Regression":
        """Some of the rows."""
        own_starts = None if self.own_starts is None else self.own_starts[rows]
        return Regression(self.x[rows], self.own[rows], self.starts[rows], self.others, own_starts)

    def compute_loss(self, weights: Tensor) -> Tensor:
        """Mean negative log-likelihood, but for a constant, of weights (d, t)."""
        slopes = self.x @ weights
        own, total = (slopes * self.own).sum(1), torch.addmm(self.starts, slopes, self.others.T).logsumexp(1)
        if self.own_starts is not None:
            total = torch.logaddexp(total, own + self.own_starts)
        return (total - own).mean()


def fit_weights(regression: Regression) -> Tensor:
    """Fit weights (d, t); fourths of the rows say how much they are shrunk."""
    n = len(regression.x)
    losses = dict.fromkeys(_PENALTIES, 0.0)
    for part in range(min(4, -(-_ENOUGH // n))):
        aside = torch.arange(n) % 4 == part
        for penalty in _PENALTIES:
            weights = _minimize(regression.take(~aside), penalty)
            losses[penalty] += float(regression.take(aside).compute_loss(weights))
    return _minimize(regression, min(_PENALTIES, key=losses.__getitem__))


@torch.enable_grad()
def _minimize(regression: Regression, penalty: float) -> Tensor:
    weights = torch.zeros(regression.x.shape[1], regression.own.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=30, tolerance_change=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = regression.compute_loss(weights) + penalty / len(regression.x) * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()
