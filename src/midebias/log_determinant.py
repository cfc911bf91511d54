"""The log-determinant formula: mutual information of features as if they were jointly Gaussian."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .distributed import Pool
from .marginals import center_within
from .protocols import TooFewSamples

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


def with_products(c: Tensor, pool: Pool | None = None) -> Tensor:
    """Columns of c, standardised (over all ranks, with a pool), with squares and products: (n, q + q(q+1)/2)."""
    if pool is None:
        c = (c - c.mean(0)) / c.std(0).clamp(min=1e-12)
    else:
        c = c - pool.mean(c)
        c = c / (pool.total(c.square().sum(0))[0] / max(1, pool.n - 1)).sqrt().clamp(min=1e-12)
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
    return torch.cat([c, c * signs.to(c)[groups][:, None]], dim=1)


def affordable(values: Tensor, generator: torch.Generator, *, most: int) -> Tensor:
    """At most ``most`` columns, and an eighth of the rows: as they are, or so many random projections of them.

    More columns than the samples carry would bury the estimate in its own noise. Projections drawn afresh at every
    call see, over many calls, what all columns would.
    """
    n, width = values.shape
    kept = min(most, max(1, n // 8))
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
        Features of the attribute, centred within groups.
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
        Scalar, or of shape (m,). The expected excess counts as a constant in its gradient. Zero, without a gradient,
        when either side does not vary within any group.

    Raises
    ------
    TooFewSamples
        When the samples are too few for the number of features.
    """
    several = z if z.ndim == 3 else z[None]
    m, n, p = several.shape
    nothing = several.sum(dim=(1, 2)) * 0.0
    if pool is None:
        magnitude = several.detach().square().mean(dim=(1, 2)).double()
    else:
        magnitude = (pool.total(several.detach().square().sum(dim=(1, 2)))[0] / (pool.n * p)).double()
    flat, n_groups = center_within(several.transpose(0, 1).reshape(n, m * p), groups, pool)
    centred = flat.reshape(n, m, p).transpose(0, 1)
    white = _whiten(c, pool)
    n = n if pool is None else pool.n
    q, dof = white.shape[1], n - n_groups
    moments = [centred.transpose(1, 2) @ centred / n, centred.transpose(1, 2) @ white / n]
    if pool is not None:
        moments = pool.total(*moments)
    covariance, cross = (moment.double() for moment in moments)
    scale = covariance.diagonal(dim1=1, dim2=2).mean(dim=1)
    varies = scale.detach() > 1e-11 * magnitude  # below this, variance is rounding error
    if q == 0 or dof < 1 or not bool(varies.any()):
        return nothing if z.ndim == 3 else nothing[0]
    ridge_at = (ridge + 1e-10) * torch.where(varies, scale, 1.0)
    effective = [float(p)] * m
    if ridge > 0 or p >= dof:
        spectrum = torch.linalg.eigvalsh(covariance.detach()).clamp(min=0)
        effective = (spectrum / (spectrum + ridge_at.detach()[:, None])).sum(dim=1).tolist()
    most = max(e for e, there in zip(effective, varies.tolist(), strict=True) if there)
    if most + q + 2 > dof:
        raise TooFewSamples(
            f"z: {n} samples in {n_groups} groups are too few for {p} features against {q} of c: "
            "use a bigger batch, a bank, fewer features or a larger ridge"
        )
    eye = torch.eye(p, dtype=covariance.dtype, device=covariance.device)
    factor = torch.linalg.cholesky(covariance + ridge_at[:, None, None] * eye)
    r = torch.linalg.solve_triangular(factor, cross, upper=False)
    inner = torch.eye(q, dtype=r.dtype, device=r.device) * (1 + 1e-9) - r.transpose(1, 2) @ r
    plug_in = -0.5 * torch.linalg.slogdet(inner).logabsdet
    excess = plug_in.new_tensor([wilks_bias(e, q, dof) for e in effective])
    value = torch.where(varies, (plug_in - excess).to(z.dtype), nothing)
    return value if z.ndim == 3 else value[0]


@torch.no_grad()
def _whiten(c: Tensor, pool: Pool | None = None) -> Tensor:
    """Rotate centred c to uncorrelated unit columns, without directions that do not vary."""
    if pool is not None:
        return _whiten_pooled(c, pool)
    scale = c.square().mean(0).sqrt()
    c = c[:, scale > 1e-6 * scale.max().clamp(min=1e-30)]
    if c.shape[1] == 0:
        return c
    c = c / c.square().mean(0).sqrt()
    values, vectors = torch.linalg.eigh((c.T @ c / len(c)).double())
    keep = values > 1e-5 * values.max()
    return c @ (vectors[:, keep] / values[keep].sqrt()).to(c.dtype)


def _whiten_pooled(c: Tensor, pool: Pool) -> Tensor:
    """As `_whiten`, from one sum over all ranks: columns are scaled after it."""
    gram = pool.total((c.T @ c).double())[0] / pool.n
    scale = gram.diagonal().sqrt()
    varies = scale > 1e-6 * scale.max().clamp(min=1e-30)
    c, scale, gram = c[:, varies], scale[varies], gram[varies][:, varies]
    if c.shape[1] == 0:
        return c
    values, vectors = torch.linalg.eigh(gram / scale / scale[:, None])
    keep = values > 1e-5 * values.max()
    return (c / scale.to(c.dtype)) @ (vectors[:, keep] / values[keep].sqrt()).to(c.dtype)
