"""Transport of groups to their barycentre, and of rows whose group is not known, by what their z says of it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .moments import Floats

_LEAST_VARIANCE = 1e-6  # of the largest: directions of less do not vary
_LEAST_SHARE = 0.05  # of a group's variance that a direction has at least, beside the mean over groups
_ROWS_AT_ONCE = 8192


class GroupTransport(nn.Module):
    """z (n, p) and the weights of k groups (n, k) -> z moved by ``step`` of the weighted displacement of the groups.

    Parameters
    ----------
    shifts : Tensor of shape (k, p)
        Displacement of the origin.
    slopes : Tensor of shape (k, p, p)
        What a group's displacement gains with z.
    """

    shifts: Tensor
    slopes: Tensor
    step: Tensor

    def __init__(self, shifts: Tensor, slopes: Tensor, step: Tensor | None = None) -> None:
        super().__init__()
        self.shifts, self.slopes = nn.Buffer(shifts.float()), nn.Buffer(slopes.float())
        self.step = nn.Buffer(torch.tensor(1.0) if step is None else step)

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        """Move z."""
        x, w = z.float(), weights.float()
        moved = w @ self.shifts
        for k, slope in enumerate(self.slopes):
            moved = moved + w[:, k : k + 1] * (x @ slope)
        return z + (self.step * moved).to(z.dtype)


def compute_transport(
    z: NDArray[np.floating], codes: NDArray[np.intp], strata: NDArray[np.intp], weights: Floats, *,
    shrinkage: bool = True,
) -> GroupTransport:  # fmt: skip
    """Compute the optimal transport of groups, taken as Gaussian, to the barycentre of their stratum.

    Parameters
    ----------
    z : array of shape (n, p)
    codes : array of shape (n,)
        The group of each row, from 0; -1 for none.
    strata : array of shape (k,)
        Of each group, from 0.
    weights : array of shape (n,)
    shrinkage : bool, default True
        Whether covariances are shrunk to that of all groups, by as much of their difference as is expected of noise.

    Notes
    -----
    The barycentre's root is the mean of the groups' roots: exact where covariances commute.

    References
    ----------
    Knott and Smith, "On the optimal mapping of distributions", 1984.
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
    """
    k, p = len(strata), z.shape[1]
    sizes, squares = (np.bincount(codes[codes >= 0], w[codes >= 0], k) for w in (weights, weights**2))
    rows = sizes**2 / np.maximum(squares, 1e-300)
    means, covariances, fourth = np.zeros((k, p)), np.zeros((k, p, p)), np.zeros(k)
    for group in range(k):
        means[group], covariances[group] = _compute_moments(z, np.flatnonzero(codes == group), weights)
    share = sizes / sizes.sum()
    variances, directions = np.linalg.eigh(np.tensordot(share, covariances, 1))
    varies = variances > _LEAST_VARIANCE * variances[-1]
    directions, root = directions[:, varies], np.sqrt(variances[varies])
    white = directions / root
    for group in range(k):
        for part in _split(np.flatnonzero(codes == group)):
            length = (((z[part] - means[group]) @ white) ** 2).sum(axis=1)
            fourth[group] += float(weights[part] @ length**2) / max(sizes[group], 1e-300)
    shifts, slopes = np.zeros((k, p)), np.zeros((k, p, p))
    for stratum in np.unique(strata):
        groups = np.flatnonzero((strata == stratum) & (rows >= 2))
        if len(groups) < 2:
            continue
        part = share[groups] / share[groups].sum()
        center = part @ means[groups]
        known = [white.T @ covariances[g] @ white for g in groups]
        typical = np.tensordot(part, np.stack(known), 1)
        roots, covs = [], []
        for group, own in zip(groups.tolist(), known, strict=True):
            noise = max(0.0, fourth[group] - float((own**2).sum())) / rows[group]
            size = float(((own - typical) ** 2).sum())
            covs.append(typical + (shrink(size, noise) if shrinkage else 1.0) * (own - typical))
            covs[-1] = _raise_least(covs[-1], typical) * root * root[:, None]
            roots.append(_raise(covs[-1], 0.5))
        half = np.tensordot(part, np.stack(roots), 1)
        for group, own, own_root in zip(groups.tolist(), covs, roots, strict=True):
            inverse = _raise(own, -0.5)
            slope = inverse @ _raise(own_root @ half @ half @ own_root, 0.5) @ inverse - np.eye(len(own))
            slopes[group] = directions @ slope @ directions.T
            shifts[group] = center - means[group] - means[group] @ slopes[group]
    return GroupTransport(torch.from_numpy(shifts), torch.from_numpy(slopes))


def shrink(size: float, noise: float) -> float:
    """The share of a squared difference that is not noise: in [0, 1]."""
    return 0.0 if size <= 0 else max(0.0, 1 - noise / size)


def _compute_moments(z: NDArray[np.floating], rows: NDArray[np.intp], weights: Floats) -> tuple[Floats, Floats]:
    p = z.shape[1]
    total = max(float(weights[rows].sum()), 1e-300)
    mean, covariance = np.zeros(p), np.zeros((p, p))
    for part in _split(rows):
        mean += weights[part] @ z[part] / total
    for part in _split(rows):
        centred = z[part] - mean
        covariance += centred.T @ (weights[part, None] * centred) / total
    return mean, covariance


def _split(rows: NDArray[np.intp]) -> Sequence[NDArray[np.intp]]:
    return [rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE)]


def _raise(matrix: Floats, power: float) -> Floats:
    """A power of a positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 1e-12 * values[-1]) ** power) @ vectors.T


def _raise_least(covariance: Floats, typical: Floats) -> Floats:
    """A covariance no direction of which has less than a share of the typical variance, which is about 1."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, _LEAST_SHARE)) @ vectors.T
