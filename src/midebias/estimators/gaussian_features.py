"""Columns that the log-determinant formula reads: products, signs of groups, random projections."""

import math

import torch
from torch import Tensor

from ..distributed import Pool
from ..marginals import center_within, number_groups


def append_products(c: Tensor, moments: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Columns of c, standardised, with squares and products: (n, q + q(q+1)/2).

    By the mean and variance of its own rows, or by those given, as with a pool.
    """
    mean, deviation = (c.mean(0), c.std(0)) if moments is None else (moments[0], moments[1].sqrt())
    c = (c - mean) / deviation.clamp(min=1e-12)
    i, j = torch.triu_indices(c.shape[1], c.shape[1], device=c.device)
    return torch.cat([c, c[:, i] * c[:, j]], dim=1)


def sign_groups(c: Tensor, groups: Tensor | None, generator: torch.Generator, pool: Pool | None = None) -> Tensor:
    """c beside c times one random sign per group: (n, 2q), for c centred within groups.

    Pooled over groups, dependences of opposite sign cancel: an encoder can say ``c`` in one class and ``not c``
    in another, and the pooled covariance is zero. Averaged over random signs, no combination of groups cancels. Where
    groups are float columns, a random linear function of them stands for the signs.
    """
    if groups is None:
        return c
    if groups.is_floating_point():
        function = groups @ torch.randn(groups.shape[1], generator=generator).to(groups, non_blocking=True)
        function = (function - function.mean()) / function.std().clamp(min=1e-12)
        return torch.cat([c, center_within(c * function.to(c)[:, None], groups)[0]], dim=1)
    groups, n_groups = number_groups(groups) if pool is None else (groups.long(), pool.n_groups)
    signs = torch.randint(2, (n_groups,), generator=generator).mul_(2).sub_(1)
    return torch.cat([c, c * signs.to(c, non_blocking=True).index_select(0, groups)[:, None]], dim=1)


def project_columns(values: Tensor, generator: torch.Generator, *, most: int, rows: int | None = None) -> Tensor:
    """At most ``most`` columns, and an eighth of the rows: as they are, or so many random projections of them.

    More columns than the samples carry would bury the estimate in its own noise. Projections drawn afresh at every
    call see, over many calls, what all columns would. ``rows`` is given where more than these count, as with a pool.
    """
    n, width = values.shape
    kept = min(most, max(1, (n if rows is None else rows) // 8))
    if width <= kept:
        return values
    directions = torch.randn(width, kept, generator=generator) / math.sqrt(width)
    return values @ directions.to(values, non_blocking=True)
