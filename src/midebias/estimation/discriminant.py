"""The closed form for categories: information of classes that are normal with one covariance, free of its excess."""

import math

import torch
from torch import Tensor, nn

from .closed_form import estimate_by_blocks
from .result import MIEstimate

_BLOCKS = 20
_DRAWS = 4096  # fewer where classes are many
_WIDEST = 0.8  # columns over degrees of freedom, beyond which an inverse covariance says nothing


@torch.no_grad()
def estimate_by_discriminant(z: Tensor, labels: Tensor, groups: Tensor | None) -> MIEstimate | None:
    r"""Estimate I(Z;C|G) in nats as if z (n, p) were normal in each cell of c and G, with one covariance for all.

    The Gram matrix of the classes' means, as those of orthonormal contrasts of c, in the inverse pooled covariance is
    that of the truth times :math:`\nu/(\nu-p-1)`, plus :math:`p/n` on the diagonal: both are taken away, however large
    p is beside n, and so is what noise adds to the eigenvalues that stand out of it. The information of normal classes
    with these means is then an integral. The value can be negative.

    Means differ between classes alike in all groups, unless it is clear that they do not. None where z has too many
    columns.

    References
    ----------
    Lachenbruch and Mickey, "Estimation of error rates in discriminant analysis", Technometrics 1968, for the excess.
    Benaych-Georges and Nadakuditi, "The eigenvalues and eigenvectors of finite, low rank perturbations of large random
    matrices", Advances in Mathematics 2011, for the eigenvalues.
    """
    strata = torch.zeros_like(labels) if groups is None else groups
    shape = int(strata.max()) + 1, int(labels.max()) + 1
    if z.shape[1] > _WIDEST * (0.9 * len(z) - math.prod(shape)):
        return None
    cells, moments = strata * shape[1] + labels, []
    for rows in torch.arange(len(z)).tensor_split(_BLOCKS):
        block, empty = z[rows].double(), torch.zeros(math.prod(shape), z.shape[1]).double()
        counts = torch.bincount(cells[rows], minlength=len(empty)).double()
        moments.append((block.T @ block, empty.index_add(0, cells[rows], block).T, counts))
    grams, sums, counts = (torch.stack(part) for part in zip(*moments, strict=True))

    def estimate(apart: bool) -> MIEstimate:
        def compute(block: int | None) -> float:
            used = torch.ones(_BLOCKS).double()
            if block is not None:
                used[block] = 0.0
            parts = (torch.tensordot(used, part, dims=1) for part in (grams, sums, counts))
            return _compute_information(*parts, shape=shape, apart=apart)

        return estimate_by_blocks(compute, len(z), _BLOCKS, "discriminant", assumption)

    assumption = "within classes, scores of the columns are normal with one covariance"
    alike = estimate(apart=False)
    apart = alike if groups is None else estimate(apart=True)
    return apart if apart.value - alike.value > 2 * max(alike.stderr, apart.stderr) else alike


def _compute_information(gram: Tensor, sums: Tensor, counts: Tensor, *, shape: tuple[int, int], apart: bool) -> float:
    """From z'z (p, p), sums of z (p, cells) and numbers of rows (cells,), of groups by classes."""
    n_groups, n_classes = shape
    n, p = float(counts.sum()), len(gram)
    of_group = nn.functional.one_hot(torch.arange(n_groups).repeat_interleave(n_classes)).double()
    sizes = counts @ of_group
    sizes, of_group = sizes[sizes > 0], of_group[:, sizes > 0]
    means = (sums @ of_group) / sizes
    gram = gram - (means * sizes) @ means.T
    # Of each cell, or class, less what is expected of its group: sums of z and, between themselves, of indicators.
    which = torch.eye(len(counts)).double() if apart else torch.eye(n_classes).double().repeat(n_groups, 1)
    inside = of_group.T @ (counts[:, None] * which)
    cross = sums @ which - means @ inside
    variance, directions = torch.linalg.eigh((which.T * counts) @ which - (inside.T / sizes) @ inside)
    kept = variance > 1e-9 * n
    back = directions[:, kept] / (variance[kept] / n).sqrt()
    r = back.shape[1]
    dof = n - len(sizes) - r
    if r == 0:
        return 0.0
    slopes = cross @ back / n
    pooled = (gram - n * slopes @ slopes.T) / dof
    unit = (1e-9 * pooled.diagonal().mean() + 1e-30) * torch.eye(p).double()
    inner = slopes.T @ torch.cholesky_solve(slopes, torch.linalg.cholesky(pooled + unit))
    values, vectors = torch.linalg.eigh(inner * (dof - p - 1) / dof - p / n * torch.eye(r).double())
    noise = (r - 1) * p / (n**2 * (1 - p / dof))
    clear = values > 2 * math.sqrt(noise)
    told = torch.where(clear, (values + (values.square() - 4 * noise).clamp(min=0).sqrt()) / 2, 0.0)
    rest = float(values.sum() - told.sum())
    if rest > 0 and not bool(clear.all()):
        told, rest = torch.where(clear, told, rest / int((~clear).sum())), 0.0
    of_cells = which @ back @ (vectors * told.clamp(min=0).sqrt())
    shares = counts.reshape(n_groups, n_classes)
    parts = zip(of_cells.reshape(*shape, -1), shares, strict=True)
    return sum(float(s.sum()) / n * _integrate(m[s > 0], s[s > 0] / s.sum()) for m, s in parts) + min(0.0, rest) / 2


def _integrate(means: Tensor, shares: Tensor) -> float:
    """Information of classes that are normal about ``means`` (k, r) with unit covariance."""
    # As few dimensions as the means span.
    means = means - means.mean(0)
    _, spread, turn = torch.linalg.svd(means, full_matrices=False)
    means = (means @ turn.T)[:, spread > 1e-9]
    if means.shape[1] == 0:
        return 0.0
    n_draws = max(256, min(_DRAWS, 2**16 // len(means)))
    draws = torch.quasirandom.SobolEngine(means.shape[1], scramble=True, seed=0).draw(n_draws).double()
    along, apart = torch.special.ndtri(draws.clamp(1e-6, 1 - 1e-6)) @ means.T, torch.cdist(means, means).square()
    told = 0.0
    for k, share in enumerate(shares):
        log_ratios = along - along[:, k : k + 1] - apart[k] / 2
        told -= float(share * torch.logsumexp(shares.log() + log_ratios, dim=1).mean())
    return told
