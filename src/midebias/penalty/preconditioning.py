"""How the gradient of the mutual information is shaped before it leaves the penalty."""

import torch
from torch import Tensor

from ..marginals import center_within


def precondition(z: Tensor, groups: Tensor | None, power: float) -> Tensor:
    r"""z itself, through which a gradient passes multiplied by :math:`(S + 0.01)^{power}`.

    S is the covariance of z within groups, in units of its mean variance. Mutual information does not change when a
    direction of z is stretched, so its gradient is largest, and noisiest, where z hardly varies; optimisers that
    normalise a gradient by its size then hardly move where z does vary. Descent stays descent: the matrix is
    positive definite. What it costs grows with n²·dim or n·dim², whichever is less.
    A power of 0 leaves the gradient as it is, 1/2 makes its noise alike in all directions.

    References
    ----------
    Amari, "Natural gradient works efficiently in learning", Neural Computation 1998, for the idea.
    """
    if power == 0 or not (z.requires_grad and torch.is_grad_enabled()):
        return z
    with torch.no_grad():
        centred = center_within(z.detach(), groups)[0].double()
        scale = centred.square().sum() / z.shape[1]
        varies = torch.isfinite(scale) & (scale > 0)  # else the gradient stays as it is
        vectors, values = _find_directions(torch.where(varies, centred / scale.sqrt(), 0.0))
        rest = 0.01**power
        gains, vectors = ((values + 0.01) ** power - rest).to(z.dtype), vectors.to(z.dtype)
    out = z.view_as(z)
    out.register_hook(lambda g: torch.where(varies, rest * g + ((g @ vectors) * gains) @ vectors.T, g))
    return out


def gate_gradient(z: Tensor, passes: list[Tensor], k: int) -> Tensor:
    """z itself, through which a gradient passes only where entry ``k`` of what ``passes`` holds by then says so."""
    if not (z.requires_grad and torch.is_grad_enabled()):
        return z
    out = z.view_as(z)
    out.register_hook(lambda gradient: torch.where(passes[0][k], gradient, 0.0))
    return out


def _find_directions(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvectors (dim, k) of the covariance that have a variance, and those variances, by the smaller gram."""
    n, dim = centred.shape
    if dim <= n:
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        return vectors, values.clamp(min=0)
    values, sides = torch.linalg.eigh(centred @ centred.T)
    kept = values > 1e-10 * values[-1]  # the others become zeros
    return centred.T @ (sides / torch.where(kept, values, torch.inf).sqrt()), torch.where(kept, values, 0.0)
