"""The log-determinant formula: mutual information of features as if they were jointly Gaussian."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..distributed import Pool
from ..errors import TooFewSamples
from ..marginals import center_within
from .pooled_moments import pool_moments
from .unit_columns import rotate_rows, whiten, whitening_of


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
                centred, ctx.basis = rotate_rows(centred)
            white = whiten(c)
            # in this order, as tall narrow products are slow in the other
            sums = [centred.transpose(1, 2) @ centred, (white.T @ centred).transpose(1, 2)]
            sums.append(several.square().sum(dim=(1, 2)))
        else:
            ctx.size, n = pool.ranks.size, pool.n
            centred, c, n_groups, *sums, gram = pool_moments(several, flat, c, groups, pool)
            whitening = whitening_of(gram / n)
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
