"""Linear erasure in closed form: the least-squares map after which z and c are uncorrelated."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..column_kinds import Column
from ..errors import InputError
from .moments import CrossMoments, Floats, Moments

_ROWS_AT_ONCE = 8192

_LEAST_CORRELATION = 1e-8  # less is rounding
_LEAST_VARIANCE = 1e-14  # of a column, as a share of the largest; less is rounding
_LEAST_SHARE = 1e-10  # as much, of a direction
_LEAST_ANGLE = 1e-6  # as a sine, between what is erased and what is kept


class LinearErasure(nn.Module):
    """The affine map z -> z - (z - mean) reads writes, in float64.

    Parameters
    ----------
    mean : Tensor of shape (p,)
    reads, writes : Tensors of shapes (p, k) and (k, p)
    """

    mean: Tensor
    reads: Tensor
    writes: Tensor

    def __init__(self, mean: Tensor, reads: Tensor, writes: Tensor) -> None:
        super().__init__()
        self.mean, self.reads, self.writes = nn.Buffer(mean), nn.Buffer(reads), nn.Buffer(writes)

    def forward(self, z: Tensor) -> Tensor:
        """z (n, p), erased."""
        wide = z.to(self.mean.dtype)
        return (wide - (wide - self.mean) @ self.reads @ self.writes).to(z.dtype)


def compute_linear_erasure(
    mean: Floats, covariance: Floats, erased: Floats, kept: Floats | None = None, *, rows: float, shrinkage: bool = True
) -> LinearErasure:
    """Compute the map that removes covariances and moves z least in the mean square.

    Parameters
    ----------
    mean, covariance : arrays of shape (p,) and (p, p)
        Of z.
    erased : array of shape (p, k)
        Covariance of z with what is erased: zero afterwards.
    kept : array of shape (p, l), optional
        Covariance of z with what is kept: the same afterwards.
    rows : float
        That the covariance is of.
    shrinkage : bool, default True
        Whether the movement is measured in a covariance shrunk towards a multiple of the identity.

    Raises
    ------
    InputError
        When nothing can be kept of what is erased.

    Notes
    -----
    With D = [erased, kept], R = [-erased, 0] and the covariance S, the least E|Bz|^2 with B D = R is that of
    B = R (W D)^+ W, W = S^(-1/2); without ``kept`` this is LEACE.

    References
    ----------
    Belrose et al., "LEACE: Perfect linear concept erasure in closed form", NeurIPS 2023, theorem 4.3.
    Holstege et al., "Preserving task-relevant information under linear concept removal", 2025.
    """
    metric = shrink_covariance(covariance, rows) if shrinkage else covariance
    variances, directions = np.linalg.eigh(metric)
    varies = variances > variances[-1] * len(variances) * np.finfo(np.float64).eps
    root = np.sqrt(np.where(varies, variances, 1.0))
    white, color = directions * (varies / root) @ directions.T, directions * (varies * root) @ directions.T
    found, size, _ = np.linalg.svd(white @ erased, full_matrices=False)
    basis = found[:, size > _LEAST_CORRELATION]
    reading = basis.T
    if kept is not None:
        wanted, size, _ = np.linalg.svd(white @ kept, full_matrices=False)
        both = np.concatenate([basis, wanted[:, size > _LEAST_CORRELATION]], axis=1)
        if both.shape[1] > varies.sum() or np.linalg.svd(both)[1].min(initial=1.0) < _LEAST_ANGLE:
            raise InputError(
                "keep cannot be kept: what z tells of it linearly is told by what is erased, "
                "or z has fewer columns than both need; leave it out"
            )
        reading = np.linalg.pinv(both)[: basis.shape[1]]
    reads, writes = white @ reading.T, (color @ basis).T
    # Into a column that does not vary, rounding would write what is read, and a probe that standardises makes it large.
    writes[:, covariance.diagonal() <= _LEAST_VARIANCE * covariance.diagonal().max(initial=0)] = 0
    return LinearErasure(*(torch.from_numpy(np.ascontiguousarray(part)) for part in (mean, reads, writes)))


def shrink_covariance(covariance: Floats, rows: float) -> Floats:
    """Shrink a covariance (p, p) of so many rows linearly towards a multiple of the identity.

    References
    ----------
    Bodnar, Gupta, Parolya, "On the strong convergence of the optimal linear shrinkage estimator for large dimensional
    covariance matrix", 2014, equation 4.3.
    """
    p = len(covariance)
    scale = float(np.trace(covariance)) / p
    distance = float((covariance**2).sum()) - p * scale**2  # squared, to the multiple of the identity
    noise = (p * scale) ** 2 / rows
    weight = 1.0 if distance <= 0 else min(1.0, noise / distance)
    return (1 - weight) * covariance + weight * scale * np.eye(p)


class LinearFit:
    """What `compute_linear_erasure` needs, gathered over batches of rows.

    Parameters
    ----------
    origin : array of shape (p,)
        About the mean of z.
    erased, kept : sequences of Column
        Of the first batch: names and kinds of what is erased and kept.
    shrinkage : bool
    """

    def __init__(
        self, origin: Floats, erased: Sequence[Column], kept: Sequence[Column], *, shrinkage: bool = True
    ) -> None:
        self.moments, self.shrinkage = Moments(origin), shrinkage
        self.erased = [CrossMoments(column, len(origin)) for column in erased]
        self.kept = [CrossMoments(column, len(origin)) for column in kept]

    def update(
        self, z: NDArray[Any], erased: Sequence[Column], kept: Sequence[Column], weights: Floats, classes: NDArray[Any]
    ) -> None:
        """Count rows z (n, p), of weights (n,); ``erased`` counts within ``classes`` (n,)."""
        for name, known, given in (("sensitive_features", self.erased, erased), ("keep", self.kept, kept)):
            names = [part.name for part in known]
            if names != [column.name for column in given]:
                raise InputError(f"{name} must hold the same columns in every batch: {', '.join(names) or 'none'}")
        for start in range(0, len(z), _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(z)))
            part, w = z[rows].astype(np.float64) - self.moments.origin, weights[rows]
            self.moments.update(part, w)
            for moments, column in zip(self.erased, erased, strict=True):
                moments.update(part, column.take(rows), w, classes[rows])
            for moments, column in zip(self.kept, kept, strict=True):
                moments.update(part, column.take(rows), w, np.zeros(len(rows)))

    def compute(self) -> LinearErasure:
        """Compute the map of the rows so far. Raises `InputError` where there is nothing to be erased or kept."""
        moments = self.moments
        return compute_linear_erasure(
            moments.mean, moments.covariance, *self.compute_covariances(), rows=moments.rows, shrinkage=self.shrinkage
        )

    def limit_information(self) -> float:
        """Compute a bound, in nats, on what z tells linearly of any one column: exceeded once in twenty times."""
        variances, directions = np.linalg.eigh(self.moments.covariance)
        varies = variances > _LEAST_SHARE * variances[-1]
        white = directions[:, varies] / np.sqrt(variances[varies])
        explained = np.square(white.T @ self.compute_covariances()[0]).sum(axis=0).max(initial=0)
        p = float(varies.sum())  # independent columns explain p / rows, with a variance of 2 p / rows^2
        return (float(explained) + (1.64 * math.sqrt(2 * p) - p) / self.moments.rows) / 2

    def compute_covariances(self) -> tuple[Floats, Floats | None]:
        """Compute the covariances (p, k) of z with what is erased, and (p, l) with what is kept, of unit variance."""
        for role, several in (("attribute", self.erased), ("keep", self.kept)):
            for part in several:
                part.check(role)
        erased = np.concatenate([part.compute_covariance() for part in self.erased], axis=1)
        kept = [part.compute_covariance() for part in self.kept]
        return erased, np.concatenate(kept, axis=1) if kept else None
