"""Covariances of the rows of all ranks, from sums over each rank's rows."""

import torch
from torch import Tensor

from ..distributed import Pool


def pool_moments(
    several: Tensor, flat: Tensor, c: Tensor, groups: Tensor | None, pool: Pool
) -> tuple[Tensor, Tensor, int, Tensor, Tensor, Tensor, Tensor]:
    """This rank's features and c less the means of all ranks' groups, the groups seen, and sums over all ranks' rows.

    Those are of the features' products, theirs with c, their squares as they were, and c's products; in one
    communication. Each rank centres by means of its own, which keeps the products precise, and adds the means' products
    in double precision, from which those of all ranks' means are taken off again.

    Parameters
    ----------
    several : Tensor of shape (m, n, p)
        This rank's features of m representations.
    flat : Tensor of shape (n, m * p)
        The same, side by side.
    c : Tensor of shape (n, q)
    groups : integer Tensor of shape (n,) or None
    pool : Pool

    References
    ----------
    Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American Statistician 1983.
    """
    m, n, p = several.shape
    both = torch.cat([flat, c], dim=1)
    labels = torch.zeros(n, dtype=torch.long, device=c.device) if groups is None else groups.long()
    onehot = torch.nn.functional.one_hot(labels, 1 if groups is None else pool.n_groups).to(both.dtype)

    def products(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, others = values[:, : m * p].reshape(-1, m, p).transpose(0, 1), values[:, m * p :]
        return features.transpose(1, 2) @ features, (others.T @ features).transpose(1, 2), others.T @ others

    counts = onehot.sum(dim=0)
    means = (onehot.T @ both) / counts.clamp(min=1)[:, None]
    inside = products(both - onehot @ means)
    counts, means = counts.double(), means.double()
    mine = [a.double() + b for a, b in zip(inside, products(means * counts.sqrt()[:, None]), strict=True)]
    squares = several.square().sum(dim=(1, 2)).double()
    counts, sums, squares, *mine = pool.sum(counts, counts[:, None] * means, squares, *mine)
    means = sums / counts.clamp(min=1)[:, None]
    covariance, cross, gram = (a - b for a, b in zip(mine, products(means * counts.sqrt()[:, None]), strict=True))
    both = both - onehot @ means.to(both.dtype)
    centred = both[:, : m * p].reshape(n, m, p).transpose(0, 1)
    return centred, both[:, m * p :], int((counts > 0).sum()), covariance, cross, squares, gram
