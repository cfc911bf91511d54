"""Covariances of features within groups, and with a whitened attribute: of this process' rows, or of all ranks'."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..distributed import Pool
from ..marginals import center_within
from ..whitening import compute_whitening


class Covariances(NamedTuple):
    """In float64: of the features of m representations, (m, p, p), and of them with c's white columns, (m, p, q)."""

    features: Tensor
    cross: Tensor
    magnitude: Tensor  # (m,): what the features' squares, not centred, sum to in the mean
    n: int  # rows
    n_groups: int  # that occur


def compute_covariances(several: Tensor, c: Tensor, groups: Tensor | None, pool: Pool | None) -> Covariances:
    """Compute those of features (m, n, p) and c (n, q), differentiable in the features.

    Features are centred within groups here; without a pool c has been already.
    """
    m, n, p = several.shape
    flat = several.transpose(0, 1).reshape(n, m * p)
    if pool is not None:
        return _pool(several, flat, c, groups, pool)
    flat, n_groups = center_within(flat, groups)
    centred = flat.reshape(n, m, p).transpose(0, 1)
    if p > n:
        centred = _rotate_rows(centred)
    cross = (_whiten(c).T @ centred).transpose(1, 2)  # in this order, as tall narrow products are slow in the other
    squares = several.detach().square().sum(dim=(1, 2))
    features, cross, squares = ((s.double() / n) for s in (centred.transpose(1, 2) @ centred, cross, squares))
    return Covariances(features, cross, squares, n, n_groups)


def _pool(several: Tensor, flat: Tensor, c: Tensor, groups: Tensor | None, pool: Pool) -> Covariances:
    """Of the rows of all ranks, in one communication.

    Each rank centres by means of its own, which keeps the products precise, and adds the means' products in double
    precision, from which those of all ranks' means are taken off again (Chan, Golub, LeVeque, "Algorithms for computing
    the sample variance", The American Statistician 1983).
    """
    m, n, p = several.shape
    both = torch.cat([flat, c], dim=1)
    labels = torch.zeros(n, dtype=torch.long, device=c.device) if groups is None else groups.long()
    onehot = torch.nn.functional.one_hot(labels, 1 if groups is None else pool.n_groups).to(both.dtype)

    def multiply(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, others = values[:, : m * p].reshape(-1, m, p).transpose(0, 1), values[:, m * p :]
        return features.transpose(1, 2) @ features, (others.T @ features).transpose(1, 2), others.T @ others

    counts = onehot.sum(dim=0)
    means = (onehot.T @ both) / counts.clamp(min=1)[:, None]
    inside = multiply(both - onehot @ means)
    counts, means = counts.double(), means.double()
    mine = [a.double() + b for a, b in zip(inside, multiply(means * counts.sqrt()[:, None]), strict=True)]
    squares = several.detach().square().sum(dim=(1, 2)).double()
    counts, sums, squares, *mine = pool.sum(counts, counts[:, None] * means, squares, *mine)
    means = sums / counts.clamp(min=1)[:, None]
    of_means = multiply(means * counts.sqrt()[:, None])
    features, cross, gram = ((a - b) / pool.n for a, b in zip(mine, of_means, strict=True))
    return Covariances(features, cross @ _find_whitening(gram), squares / pool.n, pool.n, int((counts > 0).sum()))


def _rotate_rows(centred: Tensor) -> Tensor:
    """Of more columns than rows, (m, n, p): their coordinates (m, n, n) in the space that the rows span.

    Inner products of rows are all that the information depends on. So its gradient lies in that space, too, and the
    basis counts as a constant.
    """
    with torch.no_grad():
        values, sides = torch.linalg.eigh((centred @ centred.transpose(1, 2)).double())
        kept = values > 1e-12 * values[:, -1:].clamp(min=1e-300)
        inverse = torch.where(kept, values, 1.0).rsqrt() * kept
        basis = centred.transpose(1, 2) @ (sides * inverse[:, None]).to(centred.dtype)
    return centred @ basis


@torch.no_grad()
def _whiten(c: Tensor) -> Tensor:
    """Rotate centred c to uncorrelated unit columns, without directions that do not vary."""
    scale = c.square().mean(0).sqrt()
    varies = scale > 1e-6 * scale.max().clamp(min=1e-30)
    c = c[:, varies] / scale[varies]
    return c @ compute_whitening((c.T @ c / len(c)).double(), tolerance=1e-5).to(c.dtype) if c.shape[1] else c


@torch.no_grad()
def _find_whitening(covariance: Tensor) -> Tensor:
    """What `_whiten` multiplies by, from the covariance (q, q) alone: (q, at most q)."""
    scale = covariance.diagonal().sqrt()
    varies = scale > 1e-6 * scale.max().clamp(min=1e-30)
    scale = scale[varies]
    chosen = torch.eye(len(varies), dtype=covariance.dtype, device=covariance.device)[:, varies] / scale
    return chosen @ compute_whitening(chosen.T @ covariance @ chosen, tolerance=1e-5) if len(scale) else chosen
