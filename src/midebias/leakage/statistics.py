"""Statistics of held-out predictions: nats with an interval, permutation p-values, correction for many tests."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Deviation(NamedTuple):
    """How far a sum of scores lies above its mean over permutations, and that sum's variance over them."""

    excess: float
    variance: float

    @property
    def p_value(self) -> float:
        """One-sided, by the normal approximation; 1 where scores do not differ."""
        if self.variance <= 0:
            return 1.0
        return 0.5 * math.erfc(self.excess / math.sqrt(2 * self.variance))


def compare_with_permutations(scores: NDArray[np.floating], c: NDArray[np.integer]) -> Deviation:
    """Deviation of sum_i scores[i, c[i]] from its exact mean and variance over all permutations of c (Hoeffding 1951).

    With scores (n, k) of a model that never saw these rows, permutations of c are equally likely where z tells nothing
    about c, however badly the model is calibrated.
    """
    n, k = scores.shape
    if n < 2:
        return Deviation(0.0, 0.0)
    share = np.bincount(c, minlength=k) / n
    d = scores.astype(np.float64)
    d -= (d @ share)[:, None]
    d -= d.mean(axis=0)
    return Deviation(float(d[np.arange(n), c].sum()), float((d**2 @ share).sum() * n / (n - 1)))


def combine_p_values(p_values: Sequence[float]) -> float:
    """Twice the median: valid however the folds depend on each other (Meinshausen et al., JASA 2009, eq. 2.2)."""
    # The lower of two middle values would not be valid: with an even number the upper one is taken.
    return min(1.0, 2.0 * sorted(p_values)[len(p_values) // 2])


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
