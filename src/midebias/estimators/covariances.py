"""Covariances of features within groups, and with a whitened attribute: of this process' rows, or of all ranks'."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..distributed import Pool
from ..marginals import center_within
from ..whitening import compute_masked_whitening


class Covariances(NamedTuple):
    """Of the features of m representations, in float64, with this rank's rows that they are of.

    Of more columns than rows the coordinates are those in the space that the rows span, else the features themselves.
    """

    features: Tensor  # (m, k, k): of the coordinates
    cross: Tensor  # (m, k, q): of the coordinates with c's white columns
    magnitude: Tensor  # (m,): what the features' squares, not centred, sum to in the mean
    n: int  # rows of all ranks
    n_groups: Tensor  # (), that occur
    centred: Tensor  # (m, rows, p): the features, less the means of their groups
    coordinates: Tensor  # (m, rows, k)
    basis: Tensor | None  # (m, p, k): what turned the features into coordinates
    white: Tensor  # (rows, q): c's white columns, first as many zeros as c lacks in rank
    rank: Tensor  # (), of c


@torch.no_grad()
def compute_covariances(several: Tensor, c: Tensor, groups: Tensor | None, pool: Pool | None) -> Covariances:
    """Compute those of features (m, rows, p) and c (rows, q).

    Features are centred within groups here; without a pool c has been already.
    """
    squares = torch.linalg.vector_norm(several, dim=(1, 2)).double().square()
    if pool is not None:
        return _pool(several, squares, c, groups, pool)
    n = several.shape[1]
    centred, occurring = center_within(several, groups)
    n_groups = occurring if isinstance(occurring, Tensor) else torch.full((), occurring, device=c.device)
    coordinates, basis = _rotate_rows(centred) if centred.shape[2] > n else (centred, None)
    wide = c.double()
    whitening = _find_whitening(wide.T @ wide / n)
    features = (coordinates.transpose(1, 2) @ coordinates).double() / n
    cross = (
        (c.T @ coordinates).transpose(1, 2).double() / n @ whitening
    )  # tall narrow products are slow in other orders
    white = c @ whitening.to(c.dtype)
    rows = centred, coordinates, basis, white, whitening.any(dim=0).sum()
    return Covariances(features, cross, squares / n, n, n_groups, *rows)


def _pool(several: Tensor, squares: Tensor, c: Tensor, groups: Tensor | None, pool: Pool) -> Covariances:
    """Of the rows of all ranks, in one communication.

    Each rank centres by means of its own, which keeps the products precise, and adds the means' products in double
    precision, from which those of all ranks' means are taken off again (Chan, Golub, LeVeque, "Algorithms for computing
    the sample variance", The American Statistician 1983).
    """
    m, n, p = several.shape
    both = torch.cat([several.transpose(0, 1).reshape(n, m * p), c], dim=1)
    labels = torch.zeros(n, dtype=torch.long, device=c.device) if groups is None else groups.long()
    onehot = torch.nn.functional.one_hot(labels, 1 if groups is None else pool.n_groups).to(both.dtype)

    def split(values: Tensor) -> tuple[Tensor, Tensor]:
        return values[:, : m * p].reshape(-1, m, p).transpose(0, 1), values[:, m * p :]

    def multiply(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, others = split(values)
        return features.transpose(1, 2) @ features, (others.T @ features).transpose(1, 2), others.T @ others

    counts = onehot.sum(dim=0)
    means = (onehot.T @ both) / counts.clamp(min=1)[:, None]
    inside = multiply(both - onehot @ means)
    counts, means = counts.double(), means.double()
    mine = [a.double() + b for a, b in zip(inside, multiply(means * counts.sqrt()[:, None]), strict=True)]
    counts, sums, squares, *mine = pool.sum(counts, counts[:, None] * means, squares, *mine)
    means = sums / counts.clamp(min=1)[:, None]
    of_means = multiply(means * counts.sqrt()[:, None])
    features, cross, gram = ((a - b) / pool.n for a, b in zip(mine, of_means, strict=True))
    whitening = _find_whitening(gram)
    centred, c = split(both - onehot @ means.to(both.dtype))
    n_groups, white = (counts > 0).sum(), c @ whitening.to(c.dtype)
    rows = centred, centred, None, white, whitening.any(dim=0).sum()
    return Covariances(features, cross @ whitening, squares / pool.n, pool.n, n_groups, *rows)


def _rotate_rows(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Of more columns than rows, (m, n, p): their coordinates (m, n, n) in the space that the rows span, and its basis.

    Inner products of rows are all that the information depends on. So its gradient lies in that space, too.
    """
    values, sides = torch.linalg.eigh((centred @ centred.transpose(1, 2)).double())
    kept = values > 1e-12 * values[:, -1:].clamp(min=1e-300)
    inverse = torch.where(kept, values, 1.0).rsqrt() * kept
    basis = centred.transpose(1, 2) @ (sides * inverse[:, None]).to(centred.dtype)
    return centred @ basis, basis


def _find_whitening(covariance: Tensor) -> Tensor:
    """What makes centred columns of that covariance (q, q) uncorrelated and of unit variance, or zero: (q, q)."""
    scale = covariance.diagonal().sqrt()
    inverse = torch.where(scale > 1e-6 * scale.max(), 1 / scale, 0.0)
    return inverse[:, None] * compute_masked_whitening(inverse[:, None] * covariance * inverse, tolerance=1e-5)
