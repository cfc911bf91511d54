"""Constructions whose mutual information is known: the truth is part of what they return, in nats."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

__all__ = ["correlated_normals", "only_through_groups", "shifted_normals"]


def correlated_normals(n: int, dim: int, rho: float, seed: int) -> tuple[Tensor, Tensor, float]:
    """z and c of equal dimension, correlated rho coordinate by coordinate, both mixed by random invertible maps."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, dim, generator=g)
    c = rho * z + math.sqrt(1 - rho**2) * torch.randn(n, dim, generator=g)
    mix_z, mix_c = (torch.randn(dim, dim, generator=g) + 2 * torch.eye(dim) for _ in range(2))
    return z @ mix_z, c @ mix_c, -0.5 * dim * math.log(1 - rho**2)


def shifted_normals(n: int, shift: float, seed: int) -> tuple[Tensor, Tensor, float]:
    """A fair coin c and z ~ N(shift * c, 1): the mixture's truth by Gauss-Hermite quadrature."""
    g = torch.Generator().manual_seed(seed)
    c = torch.randint(2, (n,), generator=g)
    z = shift * c[:, None] + torch.randn(n, 1, generator=g)
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    # H(C) - E log(1 + exp(log ratio)), by symmetry for c = 0
    surprise = np.logaddexp(0, nodes * shift - shift**2 / 2)
    return z, c, float(math.log(2) - (weights @ surprise) / weights.sum())


def only_through_groups(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """z and c both follow y and nothing else: I(Z;C) > 0 and I(Z;C|Y) = 0."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (n,), generator=g)
    z = y[:, None].float() + 0.5 * torch.randn(n, 3, generator=g)
    c = -2.0 * y[:, None].float() + 0.5 * torch.randn(n, 2, generator=g)
    return z, c, y
