"""Whitening: columns made uncorrelated and of unit variance."""

import torch
from torch import Tensor

from .marginals import center_within


def compute_whitening(covariance: Tensor, *, tolerance: float = 1e-7, floor: float = 1e-30) -> Tensor:
    """Compute the map (d, k) from a covariance (d, d) to uncorrelated columns of unit variance, in ascending order.

    Principal directions of less variance than ``tolerance`` of the largest, which counts as no less than ``floor``, are
    dropped: they do not vary. One column of zeros is left where nothing varies.
    """
    whole = compute_masked_whitening(covariance, tolerance=tolerance, floor=floor)
    return whole[:, min(int((~whole.any(dim=0)).sum()), len(whole) - 1) :].contiguous()


def compute_masked_whitening(covariance: Tensor, *, tolerance: float = 1e-7, floor: float = 1e-30) -> Tensor:
    """As `compute_whitening`, of shape (d, d): first come columns of zeros, in place of directions that do not vary."""
    variances, directions = torch.linalg.eigh(covariance)
    kept = variances > tolerance * variances.max().clamp(min=floor)
    return directions / torch.where(kept, variances, torch.inf).sqrt()


def whiten(values: Tensor, groups: Tensor | None = None) -> Tensor:
    """Centre columns (n, d) within groups (n,) and rotate them to uncorrelated ones (n, k) of unit variance."""
    centred = center_within(values, groups)[0].double()
    return (centred @ compute_whitening(centred.T @ centred / len(centred))).float()
