"""The log-determinant formula: mutual information of features as if they were jointly Gaussian."""

import torch
from torch import Tensor

from ..distributed import Pool
from ..errors import TooFewSamples
from .covariances import compute_covariances


def compute_wilks_bias(p: float, q: int, dof: int) -> float:
    r"""Expected excess, in nats, of the plug-in Gaussian mutual information over the truth.

    .. math:: \tfrac12 \sum_{j=1}^{q} \psi\!\left(\tfrac{\nu-j+1}{2}\right) - \psi\!\left(\tfrac{\nu-p-j+1}{2}\right)

    from the expected log-determinant of a Wishart matrix with :math:`\nu` degrees of freedom (Anderson, "An
    Introduction to Multivariate Statistical Analysis", 2003, section 7.5). Exact for independent Gaussian
    features, and close to it otherwise.

    Examples
    --------
    >>> round(compute_wilks_bias(2, 3, 1000), 4)    # close to p q / (2 dof)
    0.003
    """
    j = torch.arange(q, dtype=torch.float64)
    return float(0.5 * (torch.digamma((dof - j) / 2) - torch.digamma((dof - p - j) / 2)).sum())


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
        When the samples are too few for the number of features.
    """
    several = z if z.ndim == 3 else z[None]
    m, _, p = several.shape
    covariance, cross, magnitude, n, n_groups = compute_covariances(several, c, groups, pool)
    q, dof = cross.shape[2], n - n_groups
    scale = covariance.diagonal(dim1=1, dim2=2).sum(dim=1) / p
    varies = scale > 1e-11 * magnitude / p  # below this, variance is rounding error
    there = varies.tolist()
    if q == 0 or dof < 1 or not any(there):
        nothing = several.sum(dim=(1, 2)) * 0.0
        return nothing if z.ndim == 3 else nothing[0]
    ridge_at = (ridge + 1e-10) * torch.where(varies, scale, 1.0)
    effective = [float(p)] * m
    if ridge > 0 or p >= dof:
        spectrum = torch.linalg.eigvalsh(covariance.detach()).clamp(min=0)
        effective = (spectrum / (spectrum + ridge_at.detach()[:, None])).sum(dim=1).tolist()
    if max(e for e, is_there in zip(effective, there, strict=True) if is_there) + q + 2 > dof:
        raise TooFewSamples(
            f"z: {n} samples in {n_groups} groups are too few for {p} features against {q} of c: "
            "use a bigger batch, a bank, fewer features or a larger ridge"
        )
    covariance = covariance + torch.diag_embed(ridge_at[:, None].expand(m, covariance.shape[1]))
    inner = -(cross.transpose(1, 2) @ torch.cholesky_solve(cross, torch.linalg.cholesky(covariance)))
    inner = inner + (1 + 1e-9) * torch.eye(q, dtype=inner.dtype, device=inner.device)
    excess = covariance.new_tensor([compute_wilks_bias(e, q, dof) for e in effective])
    value = torch.where(varies, -0.5 * torch.linalg.slogdet(inner).logabsdet - excess, 0.0).to(several.dtype)
    return value if z.ndim == 3 else value[0]
