"""Mutual information from distances to nearest neighbours: nothing is trained, and few columns are seen sharply."""

import math

import torch
from torch import Tensor

_CHUNK = 250
_MOST = 10_000  # rows whose neighbours are sought: time grows with their square


@torch.no_grad()
def estimate_by_neighbours(z: Tensor, c: Tensor, groups: Tensor | None, *, k: int = 4) -> Tensor:
    r"""Estimate as Kraskov, Stögbauer and Grassberger do, in nats: the mean of what each pair contributes.

    .. math:: \psi(k) + \psi(n) - \langle\psi(n_z + 1) + \psi(n_c + 1)\rangle

    where n_z and n_c count the neighbours nearer, in z and in c alone, than the k-th in both. Within groups when they
    are given; zero for rows in groups of at most 4 k. Exact as far as densities are constant over k neighbours. Far
    integers stand for categories. Where k neighbours coincide with a pair, the coinciding ones are counted instead, as
    of an atom. Memory grows linearly with n; of more than 10,000 rows the first are used.

    References
    ----------
    Kraskov, Stögbauer, Grassberger, "Estimating mutual information", Physical Review E 2004, eq. 8. Ross, "Mutual
    information between discrete and continuous data sets", PLoS ONE 2014, for categories. Gao, Kannan, Oh, Viswanath,
    NeurIPS 2017, for atoms.
    """
    z, c = z[:_MOST], c[:_MOST]
    labels = torch.zeros(len(z), dtype=torch.long) if groups is None else groups[:_MOST]
    local = torch.zeros(len(z), dtype=torch.float64)
    for label in torch.unique(labels):
        inside = labels == label
        if int(inside.sum()) > 4 * k:
            local[inside] = _estimate_locally(z[inside], c[inside], k)
    return local


def _estimate_locally(z: Tensor, c: Tensor, k: int) -> Tensor:
    n = len(z)
    psi = torch.digamma(torch.arange(n + 1, dtype=torch.float64).clamp(min=1))
    values = torch.empty(n, dtype=torch.float64)
    for rows in torch.arange(n).split(_CHUNK):
        of_z, of_c = (torch.cdist(side[rows], side, p=math.inf) for side in (z, c))
        # The pair itself is nearest, at distance zero.
        both = torch.maximum(of_z, of_c)
        radius = both.topk(k + 1, dim=1, largest=False).values[:, k:]
        near_z, near_c = (of_z < radius).sum(dim=1), (of_c < radius).sum(dim=1)
        neighbours = torch.full((len(rows),), k)
        atoms = radius.squeeze(1) == 0
        if bool(atoms.any()):
            near_z[atoms], near_c[atoms] = (of_z[atoms] == 0).sum(dim=1), (of_c[atoms] == 0).sum(dim=1)
            neighbours[atoms] = (both[atoms] == 0).sum(dim=1)
        values[rows] = psi[neighbours] + psi[n] - psi[near_z.clamp(min=1)] - psi[near_c.clamp(min=1)]
    return values
