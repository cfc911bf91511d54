"""Statistics of held-out predictions: nats with an interval, permutation p-values, correction for many tests."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.integer[Any]]

_ROUNDING = 1e-6  # nats: scores that differ by less do not differ


class Deviation(NamedTuple):
    """How far each row's score lies above its mean over permutations, and the variance of their sum over them."""

    excess: NDArray[np.float64]
    variance: float


def compare_with_marginal(scores: Floats, c: Codes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nats that each row's z saves about its c, compared with the same scores averaged over all rows' z.

    With scores (n, k) of log q(c|z), up to a function of c, the mean of log q(c|z) - log mean_j q(c|z_j) is a lower
    bound of I(Z;C) (van den Oord et al. 2018, eq. 5, negatives from all rows). What q says of c without looking at z
    cancels: z that tells nothing is read as zero at most, for any number of categories, seen in fitting or not.

    Returns
    -------
    saved, influence : arrays of shape (n,)
        Both of the same mean; the spread of ``influence`` is that of the mean, whose marginal is an estimate too.
    """
    n, k = scores.shape
    top = scores.max(axis=0, initial=-np.inf)
    ratio = np.exp(scores - top)
    marginal = ratio.mean(axis=0, dtype=np.float64)
    saved = (scores - top)[np.arange(n), c] - np.log(marginal)[c]
    return saved, saved + 1 - ratio @ (np.bincount(c, minlength=k) / n / marginal).astype(ratio.dtype)


def compare_with_permutations(scores: Floats, c: Codes, groups: Codes) -> Deviation:
    """Deviation of sum_i scores[i, c[i]] from its exact mean over all permutations of c (Hoeffding 1951).

    With scores (n, k) of a model that never saw these rows, permutations of c are equally likely where z tells nothing
    about c, however badly the model is calibrated. Rows of one group may depend on each other: whole groups' shares of
    the categories are permuted among groups, and rows within their group.
    """
    n, k = scores.shape
    if n < 2:
        return Deviation(np.zeros(n), 0.0)
    share = np.bincount(c, minlength=k) / n
    d = scores.astype(np.float64)
    d -= (d @ share)[:, None]
    d -= d.mean(axis=0)
    excess = d[np.arange(n), c]
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sizes = np.diff(starts, append=n)
    if len(sizes) == n:  # no group has two rows
        return Deviation(excess, float((d**2 @ share).sum() * n / (n - 1)))
    d, told = d[order], np.eye(k)[c[order]]
    sums, shares = np.add.reduceat(d, starts), np.add.reduceat(told, starts) / sizes[:, None]
    shares_apart = shares - shares.mean(axis=0)
    between = float(((sums.T @ sums) * (shares_apart.T @ shares_apart)).sum()) / max(1, len(sizes) - 1)
    expected = np.repeat(shares, sizes, axis=0)
    d -= (d * expected).sum(axis=1)[:, None]
    d -= np.repeat(np.add.reduceat(d, starts) / sizes[:, None], sizes, axis=0)
    within = float(((d**2 * expected).sum(axis=1) * np.repeat(sizes / np.maximum(1, sizes - 1), sizes)).sum())
    return Deviation(excess, between + within)


def compute_p_value(deviations: Sequence[Deviation], groups: Sequence[Codes]) -> float:
    """One-sided p-value of strata together, by the normal approximation; 1 where scores do not differ.

    A group may lie in several strata: the variance is the larger of that over permutations, which takes strata for
    independent, and the cluster-robust one.
    """
    excess = np.concatenate([d.excess for d in deviations])
    variance = max(sum(d.variance for d in deviations), compute_variance(excess, np.concatenate(groups)))
    if variance <= _ROUNDING**2 * len(excess):
        return 1.0
    return 0.5 * math.erfc(float(excess.sum()) / math.sqrt(2 * variance))


def compute_variance(deviations: Floats, groups: Codes) -> float:
    """Cluster-robust variance of a sum of deviations from a mean (Liang and Zeger, Biometrika 1986)."""
    if len(groups) == 0:
        return 0.0
    _, place = np.unique(groups, return_inverse=True)
    sums = np.bincount(place, weights=deviations)
    return float((sums**2).sum()) * len(sums) / max(1, len(sums) - 1)


def compute_quantile(level: float, n_groups: int) -> float:
    """Quantile of Student's t, of an estimate from so many independent groups."""
    from scipy.special import stdtrit  # type: ignore[import-untyped,unused-ignore]  # comes with scikit-learn

    return float(stdtrit(max(1, n_groups - 1), level))


def compute_tail(estimate: float, stderr: float, n_groups: int) -> float:
    """One-sided p-value of an estimate above zero, by Student's t; 1 where nothing varies."""
    from scipy.special import stdtr  # type: ignore[import-untyped,unused-ignore]  # as above

    return float(stdtr(max(1, n_groups - 1), -estimate / stderr)) if stderr > _ROUNDING else 1.0


def combine_p_values(p_values: Sequence[float]) -> float:
    """Twice the median: valid however the folds depend on each other (Meinshausen et al., JASA 2009, eq. 2.2)."""
    # The lower of two middle values would not be valid: with an even number the upper one is taken.
    middle = sorted(p_values)[len(p_values) // 2]
    return min(1.0, 2.0 * middle) if len(p_values) > 1 else middle


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: rejecting those below α is wrong anywhere with probability at most α (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        adjusted[i] = largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
    return adjusted


def compute_wilson_interval(successes: float, n: int) -> tuple[float, float]:
    """95% interval of a proportion that stays within [0, 1] and works for small n (Wilson, JASA 1927)."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
