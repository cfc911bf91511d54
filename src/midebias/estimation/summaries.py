"""Summaries of wide z: scores made out of sample, and the columns and features that screening finds."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..whitening import whiten

_NARROW = 50  # rows per column from which all columns are kept
_FEW = 8  # columns that are always kept, and as many that screening keeps
_MOST_TARGETS, _MOST_SCORES, _MOST_FEATURES = 16, 12, 16
_RIDGES = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)  # in units of the mean variance
_FREQUENCIES = (1.0, 2.0, 3.0, 4.0)  # radians per standard deviation


class Summaries(NamedTuple):
    """Of all rows, from what some of them say."""

    scores: Tensor
    """(n, k), linear in all columns of z."""
    columns: Tensor
    """(n, m)"""
    features: Tensor
    """(n, f), nonlinear in z."""
    feature_scores: Tensor
    """(n, l), linear in columns and features."""


class _Found(NamedTuple):
    excess: float
    columns: tuple[int, ...]
    values: Tensor


@torch.no_grad()
def summarize(z: Tensor, c: Tensor, functions: Tensor, fit: Tensor) -> Summaries:
    """Summarise z (n, p), of standardised columns, by what rows ``fit`` say of c (n, q) and functions of it (n, t).

    Scores are ridge regressions' predictions, of c from z and of the functions from columns and features, of each row
    of ``fit`` without that row, so that all are out of sample; the ridge is that of the best predictions. Features are
    the length of a row, waves of columns, and products of two, as they are and bounded. Features, and columns where
    they are many beside the rows, are kept when their squared correlations with the functions exceed what chance
    reaches among so many, the strongest first.

    References
    ----------
    Fan and Lv, "Sure independence screening for ultrahigh dimensional feature space", JRSS B 2008.
    """
    white, p = whiten(functions[fit])[:, -_MOST_TARGETS:], z.shape[1]
    found = sorted((*_find_waves(z, white, fit), *_find_products(z, white, fit)), reverse=True, key=lambda f: f.excess)
    strength = _measure_excess((z[fit].T @ white / len(fit)).square().sum(1), white, p)
    for feature in found:
        for column in feature.columns:
            strength[column] = max(float(strength[column]), feature.excess)
    kept = torch.arange(p)
    if p > _FEW and p * _NARROW > len(fit):
        best = strength.topk(_FEW)
        kept = best.indices[best.values > 0].sort().values
    length = z.square().mean(1, keepdim=True).log1p()
    features = torch.cat([length, *(feature.values[:, None] for feature in found[:_MOST_FEATURES])], dim=1)
    features = ((features - features[fit].mean(0)) / features[fit].std(0).clamp(min=1e-6)).clamp(-4, 4)
    columns = z[:, kept]
    scores = _predict(z, whiten(c[fit]), fit), _predict(torch.cat([columns, features], dim=1), white, fit)
    return Summaries(scores[0], columns, features, scores[1])


def _predict(z: Tensor, targets: Tensor, fit: Tensor) -> Tensor:
    """Ridge regressions' predictions of targets, which are those of the rows ``fit``."""
    inside = z[fit].double()
    variances, directions = torch.linalg.eigh(inside.T @ inside / len(fit))
    along = inside @ directions
    slopes = along.T @ targets.double() / len(fit)
    least = math.inf
    for ridge in _RIDGES:
        weights = 1 / (variances.clamp(min=0) + ridge * variances.mean().clamp(min=1e-12))
        leverage = (along.square() @ weights / len(fit)).clamp(max=0.999)[:, None]
        without = (along @ (weights[:, None] * slopes) - leverage * targets) / (1 - leverage)
        loss = float((targets - without).square().mean())
        if loss < least:
            least, scores = loss, (z.double() @ (directions @ (weights[:, None] * slopes)))
            scores[fit] = without
    strongest = torch.linalg.svd(targets.double().T @ scores[fit]).Vh[:_MOST_SCORES]
    return (scores @ strongest.T).float()


def _measure_excess(squares: Tensor, white: Tensor, several: int) -> Tensor:
    """Sums of squared correlations with the targets, less what one of so many hardly reaches by chance."""
    t = white.shape[1]
    # Wilson and Hilferty's quantile of chi-square.
    quantile = float(torch.special.ndtri(torch.tensor(1 - 0.1 / several, dtype=torch.float64)))
    return squares - t * (1 - 2 / (9 * t) + quantile * math.sqrt(2 / (9 * t))) ** 3 / len(white)


def _find_waves(z: Tensor, white: Tensor, fit: Tensor) -> Iterator[_Found]:
    for frequency in _FREQUENCIES:
        for wave in (torch.cos, torch.sin):
            values = wave(frequency * z[fit])
            values = (values - values.mean(0)) / values.std(0).clamp(min=1e-3)
            squares = (values.T @ white / len(fit)).square().sum(1)
            excess = _measure_excess(squares, white, 2 * len(_FREQUENCIES) * z.shape[1])
            for column in (excess > 0).nonzero().squeeze(1).tolist():
                yield _Found(float(excess[column]), (column,), wave(frequency * z[:, column]))


def _find_products(z: Tensor, white: Tensor, fit: Tensor) -> Iterator[_Found]:
    inside, p = z[fit], z.shape[1]
    variances = inside.square().T @ inside.square() / len(fit) - (inside.T @ inside / len(fit)).square()
    squares = torch.zeros(p, p)
    for target in white.T:
        squares += ((inside * target[:, None]).T @ inside / len(fit)).square()
    excess = _measure_excess(squares / variances.clamp(min=1e-2), white, p * (p + 1) // 2).triu()
    best = excess.flatten().topk(min(_MOST_FEATURES, p * p))
    for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        if value > 0:
            i, j = divmod(place, p)
            product = z[:, i] * z[:, j]
            for values in (product, torch.tanh(2 * (product - product.mean()))):
                yield _Found(value, (i, j), values)
