"""Regressions by which c follows an exponential family given z: logistic ones, and their like for quantities."""

import torch
from torch import Tensor

_PENALTIES = (1e-4, 1e-3, 1e-2, 0.1)  # of squared weights
_ENOUGH = 2000  # rows of which a fourth alone says which penalty


def fit_slopes(x: Tensor, of_own: Tensor, start: Tensor, of_others: Tensor) -> Tensor:
    r"""Fit weights W (d, t) of x (n, d), by which :math:`\log p(c|x) = x W f(c) + \text{start} - \log(\text{sum})`.

    The sum is over m values of c, whose f are ``of_others`` (m, t) and whose logits to start from are ``start`` (n, m);
    ``of_own`` (n, t) are those of the rows' own c. Fourths of the rows say how much weights are shrunk.
    """
    losses = dict.fromkeys(_PENALTIES, 0.0)
    for part in range(min(4, -(-_ENOUGH // len(x)))):
        inside = torch.arange(len(x)) % 4 != part
        aside = x[~inside], of_own[~inside], start[~inside], of_others
        for penalty in _PENALTIES:
            weights = _minimize(x[inside], of_own[inside], start[inside], of_others, penalty)
            losses[penalty] += float(_compute_loss(weights, *aside))
    return _minimize(x, of_own, start, of_others, min(_PENALTIES, key=losses.__getitem__))


def _compute_loss(weights: Tensor, x: Tensor, of_own: Tensor, start: Tensor, of_others: Tensor) -> Tensor:
    slopes = x @ weights
    return (torch.addmm(start, slopes, of_others.T).logsumexp(1) - (slopes * of_own).sum(1)).mean()


@torch.enable_grad()
def _minimize(x: Tensor, of_own: Tensor, start: Tensor, of_others: Tensor, penalty: float) -> Tensor:
    weights = torch.zeros(x.shape[1], of_own.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _compute_loss(weights, x, of_own, start, of_others) + penalty * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()
