"""The log-determinant formula: mutual information of features as if they were jointly Gaussian."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..deferred_reads import refuse
from ..distributed import Pool
from ..errors import TooFewSamples
from .covariances import Covariances, compute_covariances


def compute_wilks_bias(p: float | Tensor, q: int, dof: int | Tensor, *, rank: Tensor | None = None) -> Tensor:
    r"""Expected excess, in nats and of the shape of p, of the plug-in Gaussian mutual information over the truth.

    .. math:: \tfrac12 \sum_{j=1}^{q} \psi\!\left(\tfrac{\nu-j+1}{2}\right) - \psi\!\left(\tfrac{\nu-p-j+1}{2}\right)

    from the expected log-determinant of a Wishart matrix with :math:`\nu` degrees of freedom (Anderson, "An
    Introduction to Multivariate Statistical Analysis", 2003, section 7.5). Exact for independent Gaussian
    features, and close to it otherwise. Of the q columns of c only ``rank`` count, where that is given.

    Examples
    --------
    >>> round(float(compute_wilks_bias(2, 3, 1000)), 4)    # close to p q / (2 dof)
    0.003
    """
    p = torch.as_tensor(p, dtype=torch.float64)
    places = torch.arange(q, dtype=torch.float64, device=p.device)
    steps = dof - places
    excess = torch.digamma(steps / 2) - torch.digamma((steps - p[..., None]) / 2)
    return 0.5 * (excess if rank is None else torch.where(places < rank, excess, 0.0)).sum(dim=-1)


def compute_gaussian_information(
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
        Scalar, or of shape (m,). The expected excess counts as a constant in its gradient. Zero, with a zero gradient,
        when either side does not vary within any group.

    Raises
    ------
    TooFewSamples
        When the samples are too few for the number of features; on a GPU once it is known, see `read_later`.
    """
    several = z if z.ndim == 3 else z[None]
    m, _, p = several.shape
    found = compute_covariances(several, c, groups, pool)
    (_, k, q), n, dof = found.cross.shape, found.n, found.n - found.n_groups
    scale = found.features.diagonal(dim1=1, dim2=2).sum(dim=1) / p
    # Below this, variance is rounding error.
    varies = (scale > 1e-11 * found.magnitude / p) & (found.rank > 0) & (dof >= 1)
    ridge_at = (ridge + 1e-10) * torch.where(varies, scale, 1.0)
    identity = torch.eye(k, dtype=scale.dtype, device=scale.device)
    factor, failed = torch.linalg.cholesky_ex(found.features + ridge_at[:, None, None] * identity)
    # The sum of s / (s + ridge) over the variances s along principal axes.
    inverse = torch.linalg.solve_triangular(factor, identity.expand(m, k, k), upper=False)
    effective = k - ridge_at * inverse.square().sum(dim=(1, 2))
    if ridge == 0:
        effective = torch.where(p >= dof, effective, float(p))
    few = varies & ((effective + found.rank + 2 > dof) | (failed > 0))
    refuse(few, TooFewSamples(
        f"z: {n} samples in their groups are too few for {p} features against {q} of c: "
        "use a bigger batch, a bank, fewer features or a larger ridge"
    ))  # fmt: skip
    varies = varies & ~few
    slopes = torch.where(varies[:, None, None], torch.cholesky_solve(found.cross, factor), 0.0)
    filled = torch.arange(q, device=scale.device) >= q - found.rank  # c's columns that are not zeros
    inner = (1 + 1e-9 * filled.to(scale.dtype)).diag() - found.cross.transpose(1, 2) @ slopes
    excess = compute_wilks_bias(effective, q, dof, rank=found.rank)
    value = torch.where(varies, -0.5 * torch.linalg.slogdet(inner).logabsdet - excess, 0.0).to(several.dtype)
    if several.requires_grad and torch.is_grad_enabled():
        gradient = _compute_gradient(found, slopes, inner, varies, ridge + 1e-10)
        value = cast(Any, _Known).apply(several, value, gradient if pool is None else pool.ranks.size * gradient)
    return value if z.ndim == 3 else value[0]


def _compute_gradient(found: Covariances, slopes: Tensor, inner: Tensor, varies: Tensor, share: float) -> Tensor:
    r"""Gradient (m, rows, p) of the information by the features.

    With the slopes A of the ridge regression of white c on the features X, :math:`K = (I - R R^\top)^{-1}` is the
    inverse of what the regression leaves, and the gradient is :math:`(c - X A) K A^\top / n`, less what X adds to the
    ridge, which is a ``share`` of the mean variance. Of that form it costs two products with q columns, where automatic
    differentiation would go through the covariances, products with p columns, and their factors.
    """
    dtype, p = found.white.dtype, found.centred.shape[2]
    by_slopes = torch.linalg.solve_ex(inner, slopes.transpose(1, 2))[0] * (varies / found.n)[:, None, None]
    of_ridge = -share / p * (by_slopes.transpose(1, 2) * slopes).sum(dim=(1, 2))
    by_slopes, residual = by_slopes.to(dtype), found.white - found.coordinates @ slopes.to(dtype)
    if found.basis is not None:
        by_slopes = by_slopes @ found.basis.transpose(1, 2)
    return torch.addcmul(residual @ by_slopes, found.centred, of_ridge.to(dtype)[:, None, None])


class _Known(torch.autograd.Function):
    """Values (m,) whose gradient (m, rows, p) by their features is known."""

    @staticmethod
    def forward(ctx: Any, several: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor, None, None]:
        return weight[:, None, None] * ctx.saved_tensors[0], None, None
