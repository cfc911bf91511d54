"""Upper confidence bounds at finite n: of a proportion, a total variation, a balanced accuracy, and an information.

The first three are largest values over decisions, and each is reached by one decision, which is not known. A bound that
holds for each decision by itself, taken where it is largest, then holds for the largest value: nothing is shared out
over decisions, groups or classes (Berger 1982). What counts is the binomial counts of one decision, however many cells
there are.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SHARE_OF_RATE = 0.05  # of delta, for where the rate of the larger group lies
_SHARE_OF_GROUPS = 0.1  # of delta, for how frequent groups are
_EDGES = 201  # at which the binomial of the larger group is read, over thirteen standard deviations
_ANGLES, _REFINED, _LEVELS = 37, 9, 3  # points of the grid of rates, of finer ones, and how many of these there are
_PRECISION = 1e-3  # of a difference, in standard errors


def bound_proportion(successes: int, n: int, delta: float) -> float:
    """Bound a proportion (Clopper and Pearson 1934)."""
    from scipy.stats import beta  # type: ignore[import-untyped,unused-ignore]  # comes with scikit-learn

    return 1.0 if successes >= n else float(beta.ppf(1 - delta, successes + 1, n - successes))


def bound_total_variation(first: Counts, second: Counts, delta: float) -> float:
    """Bound the total variation between two groups' distributions over K cells, from the rows (K,) of each.

    For A, the set of cells where it is p(A) - q(A), the one that is seen is at least X/n - Y/m, with X and Y binomial.
    So the bound is the largest a - b under which X/n - Y/m is at most what is seen with a probability above delta,
    which is computed exactly. The rate b is maximised over those that agree with the rows of some set of cells (Berger
    and Boos 1994), on a grid that is finer than what binomials resolve.
    """
    from scipy.stats import binom  # type: ignore[import-untyped,unused-ignore]  # as above

    if first.sum() > second.sum():
        first, second = second, first  # the rate of the larger group is better known
    n, m = int(first.sum()), int(second.sum())
    if n == 0:
        return 1.0
    rest, advantage = delta * (1 - SHARE_OF_RATE), _trace_advantage(first, second)

    def bound(rates: Floats, low: Floats, high: Floats) -> Floats:
        """Bound a - b for rates b, of sets with rows of the larger group as rates from low to high let expect."""
        tail = 0.5 * delta * SHARE_OF_RATE
        seen = advantage(binom.ppf(tail, m, low), binom.isf(tail, m, high))
        return _solve_rate(seen, rates, n, m, rest) - rates

    angles = np.linspace(0, math.pi / 2, _ANGLES)
    rates = np.sin(angles) ** 2
    found = bound(rates, rates, rates)
    largest = float(found.max())
    for _ in range(_LEVELS):
        at, largest = int(found.argmax()), max(largest, float(found.max()))
        angles = np.linspace(angles[max(at - 1, 0)], angles[min(at + 1, len(angles) - 1)], _REFINED)
        rates = np.sin(angles) ** 2
        # With the sets of its neighbours, since these change by steps, one of which may lie between two rates.
        found = bound(rates, np.r_[rates[:1], rates[:-1]], np.r_[rates[1:], rates[-1:]])
        largest = max(largest, float(found.max()) if _ == _LEVELS - 1 else 0.0)
    return min(1.0, largest)


def _trace_advantage(first: Counts, second: Counts) -> Callable[[Floats, Floats], Floats]:
    """The largest x/n - y/m over sets of cells with low <= y <= high, which mixtures of sets bound from above."""
    n, m = first.sum(), second.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(-np.nan_to_num(first / second, nan=0.0, posinf=np.inf), kind="stable")
    x, y = np.r_[0, first[order].cumsum()], np.r_[0, second[order].cumsum()]
    x, y = x[np.r_[y[1:] > y[:-1], True]], np.unique(y)  # of vertical steps the upper end
    peak = y[(x / n - y / m).argmax()]

    def advantage(low: Floats, high: Floats) -> Floats:
        at = np.clip(peak, low, high)
        return np.asarray(np.interp(at, y, x) / n - at / m)

    return advantage


def _solve_rate(seen: Floats, b: Floats, n: int, m: int, delta: float) -> Floats:
    """The largest rates a, from above, for which X/n - Y/m <= seen with a probability above delta; all (rates,)."""
    from scipy.special import bdtr, ndtri  # type: ignore[import-untyped,unused-ignore]  # as above

    spread = np.sqrt(m * b * (1 - b)) + 0.5
    steps = np.linspace(-6.5, 6.5, _EDGES)
    y = np.clip(np.round(m * b[:, None] + spread[:, None] * steps), 0, m)
    y[:, -1] = m
    below = bdtr(y, m, b[:, None])
    mass = np.diff(below, axis=1, prepend=0.0)
    # All of a step's rows at its upper end, where the smaller group may have most.
    x = np.clip(np.floor(n * (seen[:, None] + y / m) + 1e-9), -1, n)

    def compute_tail(a: Floats) -> Floats:
        inside = np.where(x < 0, 0.0, np.where(x >= n, 1.0, bdtr(np.clip(x, 0, n - 1), n, a[:, None])))
        return np.asarray((mass * inside).sum(axis=1))

    error = 0.5 * math.sqrt(1 / n + 1 / m)
    low, high = np.clip(seen + b, 0, 1), np.ones_like(b)
    a = np.clip(low + 3 * error, 0, 1)
    for _ in range(60):
        tail = compute_tail(a)
        allowed = tail > delta
        low, high = np.where(allowed, a, low), np.where(allowed, high, a)
        if (high - low).max() < _PRECISION * error:
            break
        # The quantile of the normal that the tail is like moves nearly in a straight line.
        scale = np.sqrt(np.maximum(a * (1 - a) / n + b * (1 - b) / m, 1e-12))
        step = scale * (ndtri(np.clip(tail, 1e-12, 1 - 1e-12)) - ndtri(delta))
        a = a + step + np.where(allowed, 0.4, -0.4) * _PRECISION * error
        a = np.where((a > low) & (a < high), a, 0.5 * (low + high))
    return high


def bound_balanced_accuracy(counts: Counts, delta: float) -> float:
    """Bound the mean over G groups of how often any answer to K cells names them, from the rows (K, G).

    Of two groups that is one half and half of the total variation, whose bound is narrower. This one is Chernoff's
    (1952) of a mean of binomial rates, for those rates of the same mean for which it is largest.
    """
    from scipy.optimize import brentq, minimize_scalar  # type: ignore[import-untyped,unused-ignore]  # as above

    sizes, n_groups = counts.sum(axis=0), counts.shape[1]
    if not sizes.all():
        return 1.0
    seen = float((counts / sizes).max(axis=1).mean() * len(counts) / n_groups)

    def bound(log_rate: float) -> float:
        rate = math.exp(log_rate)
        s = -np.expm1(-rate / (n_groups * sizes))

        def list_rates(log_price: float) -> Floats:
            """The rates of some mean under which a mean as small as that seen is likeliest."""
            return np.clip(1 / s - sizes * math.exp(log_price), 0, np.minimum(1, (1 - 1e-12) / s))

        def compute_exponent(log_price: float) -> float:
            return float(rate * seen + (sizes * np.log1p(-s * list_rates(log_price))).sum() - math.log(delta))

        dear = math.log((1 / (s * sizes)).max())
        cheap = math.log(((1 / s - 1) / sizes).min() + 1e-300)
        if compute_exponent(cheap) > 0:
            return 1.0
        if compute_exponent(dear) <= 0:
            return seen
        return float(list_rates(brentq(compute_exponent, cheap, dear)).mean())

    scale = math.log(2 * math.sqrt(8 * math.log(1 / delta) / (1 / sizes).sum()) * n_groups / 2)
    return min(1.0, float(minimize_scalar(bound, bounds=(scale - 3, scale + 4), method="bounded").fun))


def bound_information(strata: Sequence[Counts], delta: float) -> float:
    """Bound I(Z;C) in nats, or I(Z;C|Y) over strata, from the rows (K, G) of each.

    With r = p(c|z)/p(c), what is seen is at least the mean of log r over rows, whatever r is. Its lower tail is
    Chernoff's: E exp(-s log r) is at most 1 - k I, where k is the least of (1 + (1-s)(r-1) - r^(1-s)) over
    (r log r - r + 1), which falls with r, and r is at most one over the smallest share of a group. That holds at the
    shares of groups among these rows. At others I is larger by no more than a group is more frequent, which Clopper and
    Pearson bound.
    A stratum without rows of some group counts with log G.
    """
    from scipy.optimize import minimize_scalar

    n, cap = int(sum(counts.sum() for counts in strata)), math.log(max(counts.shape[1] for counts in strata))
    known = [counts for counts in strata if counts.sum(axis=0).all()]
    sizes = [counts.sum(axis=0) for counts in known]
    n_known = int(sum(map(np.sum, sizes)))
    if not n_known:
        return cap
    lost = delta * _SHARE_OF_GROUPS / (1 + sum(map(len, sizes)))
    excess = max(bound_proportion(int(g), n, lost) * n / g for stratum in sizes for g in stratum)
    largest = max(float(stratum.sum() / stratum.min()) for stratum in sizes)
    gap = largest * math.log(largest) - largest + 1
    seen, rest = measure_information(known), delta * (1 - _SHARE_OF_GROUPS)

    def bound(s: float) -> float:
        k = (1 + (1 - s) * (largest - 1) - largest ** (1 - s)) / gap
        return -math.expm1(math.log(rest) / n_known - s * seen) / k

    least = float(minimize_scalar(bound, bounds=(1e-3, 1 - 1e-3), method="bounded").fun)
    unknown = bound_proportion(n - n_known, n, lost) * cap if n_known < n else 0.0
    return min(cap, float(excess) * n_known / n * least + unknown)


def measure_information(strata: Sequence[Counts]) -> float:
    """Compute I(Z;C), or I(Z;C|Y) over strata, of the rows (K, G) of each, in nats."""
    total = 0.0
    for counts in strata:
        expected = counts.sum(axis=1, keepdims=True) * (counts.sum(axis=0) / max(1, counts.sum()))
        ratio = np.divide(counts, expected, out=np.ones(counts.shape), where=counts > 0)
        total += float((counts * np.log(ratio)).sum())
    return max(0.0, total / max(1, sum(int(counts.sum()) for counts in strata)))
