"""Mutual information from distances to nearest neighbours: nothing is trained, and few columns are seen sharply."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["nearest_neighbour_information"]

_CHUNK = 250
_MOST = 10_000  # rows whose neighbours are sought: time grows with their square


@torch.no_grad()
def nearest_neighbour_information(z: Tensor, c: Tensor, groups: Tensor | None, *, k: int = 4) -> tuple[float, float]:
    r"""The estimator of Kraskov, Stögbauer and Grassberger, and its standard error, in nats.

    .. math:: \psi(k) + \psi(n) - \langle\psi(n_z + 1) + \psi(n_c + 1)\rangle

    where n_z and n_c count the neighbours nearer, in z and in c alone, than the k-th in both. Within groups when they
    are given, weighted by their sizes. Exact as far as densities are constant over k neighbours; strong dependence and
    many columns read too low. Memory grows linearly with n; of more than 10,000 rows the first are used.

    Parameters
    ----------
    z, c : Tensor of shape (n, p) and (n, q)
    groups : integer Tensor of shape (n,) or None

    References
    ----------
    Kraskov, Stögbauer, Grassberger, "Estimating mutual information", Physical Review E 2004, eq. 8.
    """
    z, c = z[:_MOST], c[:_MOST]
    labels = torch.zeros(len(z), dtype=torch.long) if groups is None else groups[:_MOST]
    terms = []
    for label in torch.unique(labels):
        inside = labels == label
        if int(inside.sum()) > 4 * k:
            terms.append(_local(z[inside], c[inside], k))
    if not terms:
        return 0.0, float("inf")
    local = torch.cat(terms)
    return float(local.mean()), float(local.std()) / len(local) ** 0.5


def _local(z: Tensor, c: Tensor, k: int) -> Tensor:
    n = len(z)
    counts = torch.arange(n + 1, dtype=torch.float64).clamp(min=1)
    psi = torch.digamma(counts)
    values = torch.empty(n, dtype=torch.float64)
    for rows in torch.arange(n).split(_CHUNK):
        of_z, of_c = _distances(z[rows], z), _distances(c[rows], c)
        # The pair itself is nearest, at distance zero.
        radius = torch.maximum(of_z, of_c).topk(k + 1, dim=1, largest=False).values[:, k:]
        near_z, near_c = (of_z < radius).sum(dim=1), (of_c < radius).sum(dim=1)
        values[rows] = psi[k] + psi[n] - psi[near_z.clamp(min=1)] - psi[near_c.clamp(min=1)]
    return values


def _distances(some: Tensor, every: Tensor) -> Tensor:
    """Largest difference in any column: (m, n)."""
    out = (some[:, :1] - every[:, 0]).abs_()
    for column in range(1, every.shape[1]):
        torch.maximum(out, (some[:, column : column + 1] - every[:, column]).abs_(), out=out)
    return out
