"""A permutation test of independence, exact whatever the distribution."""

import math

import torch
from torch import Tensor

from ..marginals import center_within, draw_permutation, draw_permutation_within
from ..whitening import compute_whitening


@torch.no_grad()
def compute_p_value(
    z: Tensor, c: Tensor, groups: Tensor | None, *, n_permutations: int, generator: torch.Generator
) -> float:
    """Test independence of z and c, within groups when they are given.

    The statistic is the squared cross-covariance of whitened features, summed: the columns of either side, their norm
    and random Fourier features. c is permuted (inside each group); under independence the data's statistic is as likely
    as any to be the largest, so that the p-value is exact for every sample size. It is never zero
    (Phipson and Smyth 2010).
    """
    left = _compute_features(z, groups, generator)
    right = _compute_features(c, groups, generator)
    observed = float((left.T @ right).square().sum())
    at_least = 0
    for _ in range(n_permutations):
        perm = draw_permutation(len(z), generator) if groups is None else draw_permutation_within(groups, generator)
        at_least += float((left.T @ right[perm]).square().sum()) >= observed * (1 - 1e-6)
    return (1 + at_least) / (1 + n_permutations)


def _compute_features(values: Tensor, groups: Tensor | None, generator: torch.Generator) -> Tensor:
    scaled = (values - values.mean(0)) / values.std(0).clamp(min=1e-9)
    directions = torch.randn(values.shape[1], 16, generator=generator) / math.sqrt(values.shape[1])
    phases = 2 * math.pi * torch.rand(16, generator=generator)
    waves = 1.4 * torch.cos(1.5 * scaled @ directions + phases)
    norm = (scaled.square().mean(dim=1, keepdim=True) + 1e-3).log()
    norm = (norm - norm.mean()) / norm.std().clamp(min=1e-9)
    features = torch.cat([scaled, norm, waves], dim=1)
    centred = center_within(features, groups)[0]
    # Columns that vary have unit variance: what lies far below is the rounding error of constant ones.
    covariance = (centred.T @ centred / len(centred)).double()
    return centred @ compute_whitening(covariance, tolerance=1e-3, floor=1e-6).float()
