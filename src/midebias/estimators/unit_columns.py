"""Coordinates in which the log-determinant formula computes: of unit covariance, or of few dimensions."""

import torch
from torch import Tensor

from ..whitening import compute_whitening


def rotate_rows(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Of more columns than rows, (m, n, p): their coordinates (m, n, n) in the space that the rows span, and its basis.

    Inner products of rows are all that the information depends on. So the gradient lies in that space, too.
    """
    values, sides = torch.linalg.eigh((centred @ centred.transpose(1, 2)).double())
    kept = values > 1e-12 * values[:, -1:].clamp(min=1e-300)
    lengths = torch.where(kept, values, 0.0).sqrt()[:, None]
    inverse = torch.where(kept[:, None], 1 / lengths, 0.0)
    return (sides * lengths).to(centred.dtype), centred.transpose(1, 2) @ (sides * inverse).to(centred.dtype)


@torch.no_grad()
def whiten(c: Tensor) -> Tensor:
    """Rotate centred c to uncorrelated unit columns, without directions that do not vary."""
    scale = c.square().mean(0).sqrt()
    varies = scale > 1e-6 * scale.max().clamp(min=1e-30)
    if not bool(varies.all()):
        c, scale = c[:, varies], scale[varies]
    if c.shape[1] == 0:
        return c
    c = c / scale
    return c @ compute_whitening((c.T @ c / len(c)).double(), tolerance=1e-5).to(c.dtype)


@torch.no_grad()
def whitening_of(covariance: Tensor) -> Tensor:
    """What `whiten` multiplies by, from the covariance (q, q) alone: (q, at most q)."""
    scale = covariance.diagonal().sqrt()
    varies = scale > 1e-6 * scale.max().clamp(min=1e-30)
    scale = scale[varies]
    chosen = torch.eye(len(varies), dtype=covariance.dtype, device=covariance.device)[:, varies] / scale
    return chosen @ compute_whitening(chosen.T @ covariance @ chosen, tolerance=1e-5) if len(scale) else chosen
