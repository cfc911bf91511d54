"""Tests of independence: by permutation, exact whatever the distribution, and given covariates by random signs."""

import math

import torch
from torch import Tensor

from ..covariates import CovariateRegression
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
    left, right = (_whiten(_draw_features(side, generator), groups) for side in (z, c))
    observed = float((left.T @ right).square().sum())
    at_least = 0
    for _ in range(n_permutations):
        perm = draw_permutation(len(z), generator) if groups is None else draw_permutation_within(groups, generator)
        at_least += float((left.T @ right[perm]).square().sum()) >= observed * (1 - 1e-6)
    return (1 + at_least) / (1 + n_permutations)


@torch.no_grad()
def compute_p_value_given_covariates(
    z: Tensor, c: Tensor, w: Tensor, regression: CovariateRegression, *,
    n_draws: int, generator: torch.Generator, freedom: float = 1.0,
) -> float:  # fmt: skip
    r"""Test independence of z and c given covariates w (n, k), whose regressions are those of z and c.

    Columns, and features as of `compute_p_value`, less what functions of w predict of them, are multiplied with those
    of the other side, alone and times w. Given w, such products are zero on average; random signs of the rows show how
    far their sums stray from it. The statistic is the largest of the four sums of squares, in units of how each strays.
    The p-value is valid as rows grow if the product of the errors of both
    sides' predictions vanishes faster than :math:`n^{-1/2}`, however residuals' variances hang on w.

    References
    ----------
    Shah and Peters, "The hardness of conditional independence testing and the generalised covariance measure", Annals
    of Statistics 2020. Scheidegger, Hörrmann, Bühlmann, "The weighted generalised covariance measure", JMLR 2022.
    """
    weights = w / w.std(dim=0).clamp(min=1e-9)
    pairs = []
    for sides in ((z, c), (_draw_features(z, generator), _draw_features(c, generator))):
        left, right = (_whiten(regression.compute_residuals(side), None) for side in sides)
        pairs += [(left, right), ((left[:, :, None] * weights[:, None, :]).flatten(1), right)]
    sums = torch.empty(1 + n_draws, len(pairs), dtype=torch.float64)
    signs = torch.ones(len(w), 1)  # as observed
    for draw in sums:
        for k, (left, right) in enumerate(pairs):
            draw[k] = (left.T @ (signs * right)).square().sum()
        signs = torch.randint(2, (len(w), 1), generator=generator) * 2.0 - 1
    sums[0] *= freedom
    statistic = ((sums - sums.mean(dim=0)) / sums.std(dim=0).clamp(min=1e-12)).amax(dim=1)
    return float((statistic >= statistic[0]).double().mean())


def _draw_features(values: Tensor, generator: torch.Generator) -> Tensor:
    scaled = (values - values.mean(0)) / values.std(0).clamp(min=1e-9)
    directions = torch.randn(values.shape[1], 16, generator=generator) / math.sqrt(values.shape[1])
    phases = 2 * math.pi * torch.rand(16, generator=generator)
    waves = 1.4 * torch.cos(1.5 * scaled @ directions + phases)
    norm = (scaled.square().mean(dim=1, keepdim=True) + 1e-3).log()
    norm = (norm - norm.mean()) / norm.std().clamp(min=1e-9)
    return torch.cat([scaled, norm, waves], dim=1)


def _whiten(features: Tensor, groups: Tensor | None) -> Tensor:
    centred = center_within(features, groups)[0]
    # Columns that vary have unit variance: what lies far below is the rounding error of constant ones.
    covariance = (centred.T @ centred / len(centred)).double()
    return centred @ compute_whitening(covariance, tolerance=1e-3, floor=1e-6).float()
