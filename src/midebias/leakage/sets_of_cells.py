"""Bound the difference of two groups over few cells exactly, by the binomials of one set of cells."""

import math
from collections.abc import Callable

import numpy as np

from .least_favourable import Counts, Floats

_SHARE_OF_RATE = 0.05  # of delta, for where the rate of the larger group lies
_EDGES = 61  # of pieces of thirteen standard deviations, in which the binomial of the smaller group is summed
_INTERVALS, _PARTS = 36, 4  # of rates, and of an interval that is looked at more closely
_PRECISION = 0.04  # of a difference, in standard errors


def limit_difference_of_sets(first: Counts, second: Counts, delta: float) -> float:
    """Bound the total variation between two groups' distributions over K cells, from the rows (K,) of each.

    The first group is the smaller one: the rate of the larger is better known.

    For A, the set of cells where it is p(A) - q(A), the one that is seen is at least X/n - Y/m, with X and Y binomial.
    So a - b is excluded under which X/n - Y/m is at most what is seen with a probability of no more than delta, which
    is computed from the binomials, for all rates b that agree with the rows of some set of cells (Berger and Boos
    1994). Rates are excluded by intervals, since that probability falls with a and rises with b.
    """
    from scipy.special import ndtri  # type: ignore[import-untyped,unused-ignore]  # comes with scikit-learn
    from scipy.stats import binom  # type: ignore[import-untyped,unused-ignore]  # as above

    n, m = int(first.sum()), int(second.sum())
    share, rest = 0.5 * delta * _SHARE_OF_RATE, delta * (1 - _SHARE_OF_RATE)
    find_advantage = _trace_advantage(first, second)
    step = _PRECISION * 0.5 * math.sqrt(1 / n + 1 / m)
    edges = np.sin(np.linspace(0, math.pi / 2, _INTERVALS + 1)) ** 2
    low, high, bound = edges[:-1], edges[1:], 0.0
    while len(low):
        seen = find_advantage(binom.ppf(share, m, low), binom.isf(share, m, high))
        if bound == 0:  # begins a little below what a normal approximation says
            a = np.clip(seen + low, 0, 1)
            error = np.sqrt(a * (1 - a) / n + low * (1 - low) / m)
            bound = max(step, float((seen - 0.98 * ndtri(rest) * error).max()))
        a = np.minimum(low + bound, 1)
        tail = _compute_tail(seen, a, high, n, m)
        left = (tail > rest) & (a < 1)
        low, high = low[left], high[left]
        parts = min(_PARTS, math.ceil(float((high - low).max(initial=0.0)) / step))
        if parts == 1:
            bound += step
        elif parts:
            edges = np.linspace(low, high, parts + 1)
            low, high = edges[:-1].ravel(), edges[1:].ravel()
    return min(1.0, bound)


def _trace_advantage(first: Counts, second: Counts) -> Callable[[Floats, Floats], Floats]:
    """The largest x/n - y/m of sets of cells with low <= y <= high."""
    n, m = first.sum(), second.sum()
    x, y = (np.array([0]), np.array([0]))
    for of_first, of_second in zip(first, second, strict=True):
        x, y = np.r_[x, x + of_first], np.r_[y, y + of_second]
    order = np.argsort(y, kind="stable")
    y, value = y[order], (x / n - y / m)[order]

    def find_among_sets(low: Floats, high: Floats) -> Floats:
        parts = zip(np.searchsorted(y, low), np.searchsorted(y, high, side="right"), strict=True)
        return np.array([value[start:end].max(initial=-1.0) for start, end in parts])

    return find_among_sets


def _compute_tail(seen: Floats, a: Floats, b: Floats, n: int, m: int) -> Floats:
    """P(X/n - Y/m <= seen) of binomials of n rows at rate a and m >= n at b, to 1%; all (intervals,)."""
    from scipy.special import bdtr, bdtrc  # type: ignore[import-untyped,unused-ignore]  # as above

    spread = np.sqrt(n * a * (1 - a)) + 0.5
    x = np.clip(np.round(n * a[:, None] + spread[:, None] * np.linspace(-6.5, 6.5, _EDGES)), 0, n)
    x[:, -1] = n
    mass = np.diff(bdtr(x, n, a[:, None]), axis=1, prepend=0.0)
    y = np.ceil(m * (x / n - seen[:, None]) - 1e-9)
    inside = np.where(y <= 0, 1.0, np.where(y > m, 0.0, bdtrc(np.clip(y, 1, m) - 1, m, b[:, None])))
    # The mean over the whole numbers of each piece, in which the probability is nearly straight.
    width = np.maximum(np.diff(x, axis=1, prepend=0.0), 1.0)
    inside = inside - np.diff(inside, axis=1, prepend=inside[:, :1]) * (width - 1) / (2 * width)
    return np.asarray((mass * inside).sum(axis=1))
