"""Whitening: columns made uncorrelated and of unit variance."""

import torch
from torch import Tensor

from .marginals import center_within


def compute_whitening(covariance: Tensor, *, tolerance: float = 1e-7, floor: float = 1e-30) -> Tensor:
    """Compute the map (d, k) to uncorrelated columns of unit variance.

    Parameters
    ----------
    covariance : Tensor of shape (d, d)
    tolerance : float, default 1e-7
        Principal directions of less variance than this share of the largest are dropped: they do not vary.
    floor : float, default 1e-30
        The largest variance counts as no less than this.

    Returns
    -------
    Tensor of shape (d, k)
        In ascending order of variance; one column of zeros where nothing varies.
    """
    variances, directions = torch.linalg.eigh(covariance)
    keep = variances > tolerance * variances.max().clamp(min=floor)
    if not bool(keep.any()):
        return covariance.new_zeros(len(covariance), 1)
    return directions[:, keep] / variances[keep].sqrt()


def whiten(values: Tensor, groups: Tensor | None = None) -> Tensor:
    """Centre columns within groups and rotate them to uncorrelated ones of unit variance.

    Parameters
    ----------
    values : Tensor of shape (n, d)
    groups : integer Tensor of shape (n,) or None

    Returns
    -------
    float32 Tensor of shape (n, k)
        See `compute_whitening`.

    Examples
    --------
    >>> import torch
    >>> values = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]])
    >>> white = whiten(values)
    >>> (white.T @ white / 4).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    centred = center_within(values, groups)[0].double()
    return (centred @ compute_whitening(centred.T @ centred / len(centred))).float()
