"""The log-determinant formula: mutual information of features as if they were jointly Gaussian."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..distributed import Pool
from ..errors import TooFewSamples
from ..marginals import center_within

__all__ = ["affordable", "gaussian_information", "random_signs", "wilks_bias", "with_products"]


def wilks_bias(p: float, q: int, dof: int) -> float:
    r"""Expected excess, in nats, of the plug-in Gaussian mutual information over the truth.

    .. math:: \tfrac12 \sum_{j=1}^{q} \psi\!\left(\tfrac{\nu-j+1}{2}\right) - \psi\!\left(\tfrac{\nu-p-j+1}{2}\right)

    from the expected log-determinant of a Wishart matrix with :math:`\nu` degrees of freedom (Anderson, "An
    Introduction to Multivariate Statistical Analysis", 2003, section 7.5). Exact for independent Gaussian
    features, and close to it otherwise.

    Examples
    --------
    >>> round(wilks_bias(2, 3, 1000), 4)    # close to p q / (2 dof)
    0.003
    """
    j = torch.arange(q, dtype=torch.float64)
    return float(0.5 * (torch.digamma((dof - j) / 2) - torch.digamma((dof - p - j) / 2)).sum())


def with_products(c: Tensor, moments: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Columns of c, standardised, with squares and products: (n, q + q(q+1)/2).

    By the mean and variance of its own rows, or by those given, as with a pool.
    """
    mean, deviation = (c.mean(0), c.std(0)) if moments is None else (moments[0], moments[1].sqrt())
    c = (c - mean) / deviation.clamp(min=1e-12)
    i, j = torch.triu_indices(c.shape[1], c.shape[1], device=c.device)
    return torch.cat([c, c[:, i] * c[:, j]], dim=1)


def random_signs(c: Tensor, groups: Tensor | None, generator: torch.Generator, pool: Pool | None = None) -> Tensor:
    """c beside c times one random sign per group: (n, 2q), for c centred within groups.

    Pooled over groups, dependences of opposite sign cancel: an encoder can say ``c`` in one class and ``not c``
    in another, and the pooled covariance is zero. Averaged over random signs, no combination of groups cancels.
    """
    if groups is None:
        return c
    n_groups = int(groups.max()) + 1 if pool is None else pool.n_groups
    signs = torch.randint(2, (n_groups,), generator=generator).mul_(2).sub_(1)
    return torch.cat([c, c * signs.to(c).index_select(0, groups.long())[:, None]], dim=1)


def affordable(values: Tensor, generator: torch.Generator, *, most: int, rows: int | None = None) -> Tensor:
    """At most ``most`` columns, and an eighth of the rows: as they are, or so many random projections of them.

    ``rows`` where more than these are counted, as with a pool.

    More columns than the samples carry would bury the estimate in its own noise. Projections drawn afresh at every
    call see, over many calls, what all columns would.
    """
    n, width = values.shape
    kept = min(most, max(1, (n if rows is None else rows) // 8))
    if width <= kept:
        return values
    directions = torch.randn(width, kept, generator=generator) / math.sqrt(width)
    return values @ directions.to(values)


def gaussian_information(
    z: Tensor, c: Tensor, groups: Tensor | None, *, ridge: float, pool: Pool | None = None
) -> Tensor:
    r""":math:`-\tfrac12\log\det(I - R R^\top)` less its expected excess, in nats; differentiable in z.

    Parameters
    ----------
    z : Tensor of shape (n, p) or (m, n, p)
        Features of the representation, or of m representations.
    c : Tensor of shape (n, q)
        Features of the attribute, centred within groups; with a pool that is done here, with z's, at once.
    groups : integer Tensor of shape (n,) or None
        z is centred within groups and covariances are pooled over them.
    ridge : float
        Added to the covariance of z's features, in units of their mean variance.
    pool : Pool, optional
        Then z, c and groups are this rank's rows, and means and covariances those of all ranks' together; nothing but
        sums over rows is communicated.

    Returns
    -------
    Tensor
        Scalar, or of shape (m,); differentiable once. The expected excess counts as a constant in its gradient. Zero,
        with a zero gradient, when either side does not vary within any group.

    Raises
    ------
    TooFewSamples
        When the samples are too few for the number of features.
    """
    several = z if z.ndim == 3 else z[None]
    value: Tensor = cast(Any, _Information).apply(several, c, groups, ridge, pool)
    return value if z.ndim == 3 else value[0]


class _Information(torch.autograd.Function):
    r"""`gaussian_information` of (m, n, p) features, with its gradient written out.

    Step by step through means, moments and factors, the gradient would cost more than the estimate. With S the
    covariance of the features plus the ridge, C their covariance with whitened c, :math:`A = S^{-1} C` and
    :math:`K = (I - C^\top A)^{-1}`, it is A K by C and :math:`-\tfrac12 A K A^\top` by S; and both are linear in the
    centred features' outer products.
    """

    @staticmethod
    def forward(ctx: Any, several: Tensor, c: Tensor, groups: Tensor | None, ridge: float, pool: Pool | None) -> Tensor:
        m, n, p = several.shape
        ctx.basis, ctx.shape, ctx.size = None, several.shape, 1
        flat = several.transpose(0, 1).reshape(n, m * p)
        if pool is None:
            flat, n_groups = center_within(flat, groups)
            centred = flat.reshape(n, m, p).transpose(0, 1)
            if p > n:
                centred, ctx.basis = _rotated(centred)
            white = _whiten(c)
            # in this order, as tall narrow products are slow in the other
            sums = [centred.transpose(1, 2) @ centred, (white.T @ centred).transpose(1, 2)]
            sums.append(several.square().sum(dim=(1, 2)))
        else:
            ctx.size, n = pool.ranks.size, pool.n
            centred, c, n_groups, *sums, gram = _pooled(several, flat, c, groups, pool)
            whitening = _whitening(gram / n)
            white, sums[1] = c @ whitening.to(c.dtype), sums[1] @ whitening
        covariance, cross, magnitude = (s.double() / n for s in sums)
        q, dof = white.shape[1], n - n_groups
        scale = covariance.diagonal(dim1=1, dim2=2).sum(dim=1) / p
        varies = scale > 1e-11 * magnitude / p  # below this, variance is rounding error
        there = varies.tolist()
        ctx.empty = q == 0 or dof < 1 or not any(there)
        if ctx.empty:
            return several.new_zeros(m)
        share = ridge + 1e-10
        ridge_at = share * torch.where(varies, scale, 1.0)
        effective = [float(p)] * m
        if ridge > 0 or p >= dof:
            spectrum = torch.linalg.eigvalsh(covariance).clamp(min=0)
            effective = (spectrum / (spectrum + ridge_at[:, None])).sum(dim=1).tolist()
        if max(e for e, is_there in zip(effective, there, strict=True) if is_there) + q + 2 > dof:
            raise TooFewSamples(
                f"z: {n} samples in {n_groups} groups are too few for {p} features against {q} of c: "
                "use a bigger batch, a bank, fewer features or a larger ridge"
            )
        covariance.diagonal(dim1=1, dim2=2).add_(ridge_at[:, None])
        a = torch.cholesky_solve(cross, torch.linalg.cholesky(covariance))
        inner = -(cross.transpose(1, 2) @ a)
        inner.diagonal(dim1=1, dim2=2).add_(1 + 1e-9)
        excess = covariance.new_tensor([wilks_bias(e, q, dof) for e in effective])
        value = torch.where(varies, -0.5 * torch.linalg.slogdet(inner).logabsdet - excess, 0.0).to(several.dtype)
        if ctx.needs_input_grad[0]:
            by_cross = torch.linalg.solve(inner, a, left=False) * (varies / n)[:, None, None]
            by_covariance = -(by_cross @ a.transpose(1, 2))  # of S and of its transpose
            # The ridge is a share of the mean variance.
            mean = by_covariance.diagonal(dim1=1, dim2=2).sum(dim=1) / p
            by_covariance.diagonal(dim1=1, dim2=2).add_(share * mean[:, None])
            ctx.save_for_backward(centred, white, by_covariance.to(several.dtype), by_cross.to(several.dtype))
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.empty:
            return weight.new_zeros(ctx.shape), None, None, None, None
        centred, white, by_covariance, by_cross = ctx.saved_tensors
        weight = ctx.size * weight[:, None, None]
        gradient = centred @ (weight * by_covariance)
        gradient.add_(white @ (weight * by_cross).transpose(1, 2))
        if ctx.basis is not None:
            gradient = gradient @ ctx.basis.transpose(1, 2)
        return gradient, None, None, None, None


def _pooled(
    several: Tensor, flat: Tensor, c: Tensor, groups: Tensor | None, pool: Pool
) -> tuple[Tensor, Tensor, int, Tensor, Tensor, Tensor, Tensor]:
    """This rank's features and c less the means of all ranks' groups, the groups seen, and sums over all ranks' rows.

    Those are of the features' products, theirs with c, their squares as they were, and c's products; in one
    communication. Each rank centres by means of its own, which keeps the products precise, and adds the means' products
    in double precision, from which those of all ranks' means are taken off again (Chan, Golub, LeVeque, "Algorithms for
    computing the sample variance", 1983).
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
    counts, sums, squares, *mine = pool.total(counts, counts[:, None] * means, squares, *mine)
    means = sums / counts.clamp(min=1)[:, None]
    covariance, cross, gram = (a - b for a, b in zip(mine, products(means * counts.sqrt()[:, None]), strict=True))
    both = both - onehot @ means.to(both.dtype)
    centred = both[:, : m * p].reshape(n, m, p).transpose(0, 1)
    return centred, both[:, m * p :], int((counts > 0).sum()), covariance, cross, squares, gram


def _rotated(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Of more columns than rows, (m, n, p): their coordinates (m, n, n) in the space that the rows span, and its basis.

    Inner products of rows are all that the information depends on. So the gradient lies in that space, too.
    """
    values, sides = torch.linalg.eigh((centred @ centred.transpose(1, 2)).double())
    kept = values > 1e-12 * values[:, -1:].clamp(min=1e-300)
    lengths = torch.where(kept, values, 0.0).sqrt()[:, None]
    inverse = torch.where(kept[:, None], 1 / lengths, 0.0)
    return (sides * lengths).to(centred.dtype), centred.transpose(1, 2) @ (sides * inverse).to(centred.dtype)


@torch.no_grad()
def _whiten(c: Tensor) -> Tensor:
    """Rotate centred c to uncorrelated unit columns, without directions that do not vary."""
    scale = c.square().mean(0).sqrt()
    varies = scale > 1e-6 * scale.max().clamp(min=1e-30)
    if not bool(varies.all()):
        c, scale = c[:, varies], scale[varies]
    if c.shape[1] == 0:
        return c
    c = c / scale
    return c @ _rotation((c.T @ c / len(c)).double()).to(c.dtype)


@torch.no_grad()
def _whitening(covariance: Tensor) -> Tensor:
    """What `_whiten` multiplies by, from the covariance (q, q) alone: (q, at most q)."""
    scale = covariance.diagonal().sqrt()
    varies = scale > 1e-6 * scale.max().clamp(min=1e-30)
    scale = scale[varies]
    chosen = torch.eye(len(varies), dtype=covariance.dtype, device=covariance.device)[:, varies] / scale
    return chosen @ _rotation(chosen.T @ covariance @ chosen) if len(scale) else chosen


def _rotation(correlation: Tensor) -> Tensor:
    """To uncorrelated unit columns, those left out that hardly vary."""
    values, vectors = torch.linalg.eigh(correlation)
    keep = values > 1e-5 * values.max()
    return vectors[:, keep] / values[keep].sqrt()
