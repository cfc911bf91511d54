"""How the gradient of the mutual information is shaped before it leaves the penalty."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .marginals import center_within

__all__ = ["precondition"]


def precondition(z: Tensor, groups: Tensor | None, power: float) -> Tensor:
    r"""z itself, through which a gradient passes multiplied by :math:`(S + 0.01)^{power}`.

    S is the covariance of z within groups, in units of its mean variance. Mutual information does not change when a
    direction of z is stretched, so its gradient is largest, and noisiest, where z hardly varies; optimisers that
    normalise a gradient by its size then hardly move where z does vary. Descent stays descent: the matrix is
    positive definite.

    Parameters
    ----------
    z : Tensor of shape (n, dim)
    groups : integer Tensor of shape (n,) or None
    power : float
        In [0, 1]; 0 leaves the gradient as it is, 1/2 makes its noise alike in all directions.

    References
    ----------
    Amari, "Natural gradient works efficiently in learning", Neural Computation 1998, for the idea.
    """
    if power == 0 or not z.requires_grad:
        return z
    with torch.no_grad():
        centred = center_within(z.detach(), groups)[0].double()
        covariance = centred.T @ centred
        scale = covariance.diagonal().mean()
        if not (bool(torch.isfinite(scale)) and float(scale) > 0):
            return z
        values, vectors = torch.linalg.eigh(covariance / scale)
        matrix = (vectors * (values.clamp(min=0) + 0.01) ** power) @ vectors.T
    out: Tensor = _Precondition.apply(z, matrix.to(z.dtype))  # type: ignore[no-untyped-call]
    return out


class _Precondition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(matrix)
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] @ ctx.saved_tensors[0], None
