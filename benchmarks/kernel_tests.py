"""Kernel tests of conditional independence that `conditional` compares with, from their papers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["apply_circe", "apply_kci"]

_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of kernels on W, in median distances
_LEADING = 20  # features of a kernel that vary most
_RIDGES = (1e-4, 1e-3, 1e-2, 0.1, 1.0)  # of regressions on W, over n


def _compute_kernel(x: Tensor, width: float = 1.0) -> Tensor:
    """Gaussian kernel of standardised columns, of ``width`` median distances."""
    x = (x - x.mean(dim=0)) / x.std(dim=0).clamp(min=1e-12)
    squares = torch.cdist(x, x).square()
    median = squares[~torch.eye(len(x), dtype=torch.bool)].median().clamp(min=1e-12)
    return (-squares / (2 * width**2 * median)).exp()


def _center(kernel: Tensor) -> Tensor:
    return kernel - kernel.mean(dim=0) - kernel.mean(dim=1, keepdim=True) + kernel.mean()


def apply_kci(z: Tensor, c: Tensor, w: Tensor) -> float:
    """Test by KCI of Zhang, Peters, Janzing, Schölkopf (UAI 2011): the p-value, by their gamma approximation.

    Kernels on W and the noise of the regressions on it are those of the largest marginal likelihood, on a grid.
    """
    z, c, w = (part.double() for part in (z, c, w))
    of_w = [torch.linalg.eigh(_center(_compute_kernel(w, width))) for width in _WIDTHS]
    both = torch.cat([(part - part.mean(0)) / part.std(0) for part in (z, w / 2)], dim=1)
    left, right = (_take_off(_center(_compute_kernel(side)), of_w) for side in (both, c))
    products = left * right
    mean, variance = float(products.trace()), 2 * float(products.square().sum())
    shape, scale = mean**2 / variance, variance / mean
    statistic = float((left * right.T).sum())
    return 1 - float(torch.special.gammainc(torch.tensor(shape), torch.tensor(statistic / scale)))


def _take_off(kernel: Tensor, of_w: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The kernel of what Gaussian processes on W leave of its features."""
    n = len(kernel)
    values, vectors = torch.linalg.eigh(kernel)
    targets = vectors[:, -_LEADING:] * values[-_LEADING:].clamp(min=0).sqrt()  # those that vary most
    best, chosen = -math.inf, torch.eye(n, dtype=kernel.dtype)
    for sizes, directions in of_w:
        squares, sizes = (directions.T @ targets).square(), sizes.clamp(min=0)
        for ridge in _RIDGES:
            noise = ridge * n
            total = (sizes + noise)[:, None]
            likelihood = -0.5 * float(n * (squares / total).mean(dim=0).clamp(min=1e-300).log().sum())
            likelihood -= 0.5 * targets.shape[1] * float(total.log().sum())
            if likelihood > best:
                best, chosen = likelihood, (directions * (noise / (sizes + noise))) @ directions.T
    return chosen @ kernel @ chosen


def apply_circe(z: Tensor, c: Tensor, w: Tensor, *, n_draws: int, generator: torch.Generator) -> float:
    """Test by the statistic of CIRCE (Pogodin et al., ICLR 2023): the p-value, by random signs of the rows.

    Features of c less their conditional mean given W, a kernel ridge regression whose width and ridge are of the least
    leave-one-out error, times features of W, times features of z. The paper penalises with it, and tests nothing; its
    regression is fitted to other rows, here to all, and anew to each draw.
    """
    z, c, w = (part.double() for part in (z, c, w))
    n, of_c = len(z), _center(_compute_kernel(c))
    least, left = math.inf, torch.eye(n, dtype=z.dtype)
    for width in _WIDTHS:
        sizes, directions = torch.linalg.eigh(_compute_kernel(w, width))
        for ridge in _RIDGES:
            smooth = (directions * (sizes.clamp(min=0) / (sizes.clamp(min=0) + ridge * n))) @ directions.T
            alone = (torch.eye(n, dtype=z.dtype) - smooth) / (1 - smooth.diagonal()).clamp(min=1e-6)[:, None]
            error = float((alone @ of_c * alone).sum())
            if error < least:
                least, left = error, alone
    values, vectors = torch.linalg.eigh(of_c)
    residuals = left @ (vectors[:, -_LEADING:] * values[-_LEADING:].clamp(min=0).sqrt())
    products = _compute_kernel(z) * _compute_kernel(w)
    observed, at_least = float((residuals * (products @ residuals)).sum()), 0
    for _ in range(n_draws):
        signs = torch.randint(2, (n, 1), generator=generator).double() * 2 - 1
        drawn = left @ (signs * residuals)  # the regression is fitted anew: it takes what is smooth off chance, too
        at_least += float((drawn * (products @ drawn)).sum()) >= observed
    return (1 + at_least) / (1 + n_draws)
