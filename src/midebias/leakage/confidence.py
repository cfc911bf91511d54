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
_EDGES = 61  # of pieces of thirteen standard deviations, in which the binomial of the smaller group is summed
_INTERVALS, _PARTS = 36, 4  # of rates, and of an interval that is looked at more closely
_MOST_CELLS_OF_SETS = 12  # whose sets are looked at one by one
_PRECISION = 0.04  # of a difference, in standard errors


def limit_proportion(successes: int, n: int, delta: float) -> float:
    """Bound a proportion (Clopper and Pearson 1934)."""
    from scipy.stats import beta  # type: ignore[import-untyped,unused-ignore]  # comes with scikit-learn

    return 1.0 if successes >= n else float(beta.ppf(1 - delta, successes + 1, n - successes))


def limit_total_variation(first: Counts, second: Counts, delta: float, *, least: float = 0.0) -> float:
    """Bound the total variation between two groups' distributions over K cells, from the rows (K,) of each.

    Nothing below ``least`` is looked for.

    For A, the set of cells where it is p(A) - q(A), the one that is seen is at least X/n - Y/m, with X and Y binomial.
    So a - b is excluded under which X/n - Y/m is at most what is seen with a probability of no more than delta, which
    is computed from the binomials, for all rates b that agree with the rows of some set of cells (Berger and Boos
    1994). Rates are excluded by intervals, since that probability falls with a and rises with b.
    """
    from scipy.special import ndtri  # type: ignore[import-untyped,unused-ignore]  # comes with scikit-learn
    from scipy.stats import binom  # type: ignore[import-untyped,unused-ignore]  # as above

    if first.sum() > second.sum():
        first, second = second, first  # the rate of the larger group is better known
    n, m = int(first.sum()), int(second.sum())
    if n == 0:
        return 1.0
    share, rest = 0.5 * delta * SHARE_OF_RATE, delta * (1 - SHARE_OF_RATE)
    find_advantage = _trace_advantage(first, second)
    step = _PRECISION * 0.5 * math.sqrt(1 / n + 1 / m)
    edges = np.sin(np.linspace(0, math.pi / 2, _INTERVALS + 1)) ** 2
    low, high, bound = edges[:-1], edges[1:], 0.0
    while len(low):
        seen = find_advantage(binom.ppf(share, m, low), binom.isf(share, m, high))
        if bound == 0:  # begins a little below what a normal approximation says
            a = np.clip(seen + low, 0, 1)
            error = np.sqrt(a * (1 - a) / n + low * (1 - low) / m)
            bound = max(step, least, float((seen - 0.98 * ndtri(rest) * error).max()))
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
    """The largest x/n - y/m of sets of cells with low <= y <= high; of many cells, of mixtures of sets."""
    n, m = first.sum(), second.sum()
    if len(first) <= _MOST_CELLS_OF_SETS:
        x, y = (np.array([0]), np.array([0]))
        for of_first, of_second in zip(first, second, strict=True):
            x, y = np.r_[x, x + of_first], np.r_[y, y + of_second]
        order = np.argsort(y, kind="stable")
        y, value = y[order], (x / n - y / m)[order]

        def find_among_sets(low: Floats, high: Floats) -> Floats:
            parts = zip(np.searchsorted(y, low), np.searchsorted(y, high, side="right"), strict=True)
            return np.array([value[start:end].max(initial=-1.0) for start, end in parts])

        return find_among_sets
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(-np.nan_to_num(first / second, nan=0.0, posinf=np.inf), kind="stable")
    x, y = np.r_[0, first[order].cumsum()], np.r_[0, second[order].cumsum()]
    x, y = x[np.r_[y[1:] > y[:-1], True]], np.unique(y)  # of vertical steps the upper end
    peak = y[(x / n - y / m).argmax()]

    def find_among_mixtures(low: Floats, high: Floats) -> Floats:
        at = np.clip(peak, low, high)
        return np.asarray(np.interp(at, y, x) / n - at / m)

    return find_among_mixtures


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


def limit_balanced_accuracy(counts: Counts, delta: float) -> float:
    """Bound the mean over G groups of how often any answer to K cells names them, from the rows (K, G).

    Of two groups that is one half and half of the total variation, whose bound is narrower. This one is Chernoff's
    (1952) of a mean of binomial rates, for those rates of the same mean for which it is largest.
    """
    from scipy.optimize import brentq, minimize_scalar  # type: ignore[import-untyped,unused-ignore]  # as above

    sizes, n_groups = counts.sum(axis=0), counts.shape[1]
    if not sizes.all():
        return 1.0
    seen = float((counts / sizes).max(axis=1).mean() * len(counts) / n_groups)

    def compute_limit(log_rate: float) -> float:
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
    return min(1.0, float(minimize_scalar(compute_limit, bounds=(scale - 3, scale + 4), method="bounded").fun))


def limit_information(strata: Sequence[Counts], delta: float) -> float:
    """Bound I(Z;C) in nats, or I(Z;C|Y) over strata, from the rows (K, G) of each.

    With r = p(c|z)/p(c), what is seen is at least the mean over rows of log(1 - t + t r), whatever r is and for any
    t in [0, 1]. Its lower tail is Chernoff's (1952), by `_limit_moment`, at the shares of groups among these rows. At
    others I is larger by no more than a group is more frequent, which Clopper and Pearson bound. A stratum without rows
    of some group counts with log G.
    """
    n, cap = int(sum(counts.sum() for counts in strata)), math.log(max(counts.shape[1] for counts in strata))
    known = [counts for counts in strata if counts.sum(axis=0).all()]
    sizes = [counts.sum(axis=0) for counts in known]
    n_known = int(sum(map(np.sum, sizes)))
    if not n_known:
        return cap
    lost = delta * _SHARE_OF_GROUPS / (1 + sum(map(len, sizes)))
    excess = max(limit_proportion(int(g), n, lost) * n / g for stratum in sizes for g in stratum)
    largest = max(float(stratum.sum() / stratum.min()) for stratum in sizes)
    seen, rest = measure_information(known), delta * (1 - _SHARE_OF_GROUPS)
    speeds, products = np.geomspace(0.02, 1e4, 28)[:, None], np.linspace(0.05, 1.45, 20)
    least = cap
    for _ in range(2):
        k = _limit_moment(speeds, products, largest)
        with np.errstate(divide="ignore"):
            found = np.where(k > 0, -np.expm1(math.log(rest) / n_known - speeds * seen) / k, np.inf)
        least = min(least, float(found.min()))
        i, j = np.unravel_index(found.argmin(), found.shape)
        speeds = speeds[i, 0] * np.geomspace(0.65, 1.55, 12)[:, None]
        products = products[j] * np.linspace(0.9, 1.1, 12)
    unknown = limit_proportion(n - n_known, n, lost) * cap if n_known < n else 0.0
    return min(cap, float(excess) * n_known / n * least + unknown)


def _limit_moment(speeds: Floats, products: Floats, largest: float) -> Floats:
    """The largest k for which E (1 - t + t r)^-s is at most 1 - k I: with s and st of shapes (i, 1) and (j,), (i, j).

    The ratio r lies between 0 and one over the smallest share of a group, its mean over independent z and c is 1, and
    I is that of r log r - r + 1. So k is the least of (1 + (1 - st)(r - 1) - r (1 - t + t r)^-s) / (r log r - r + 1).
    """
    r = np.r_[np.linspace(0, 1, 30, endpoint=False), 1 + np.geomspace(0.02, largest - 1, 50)]
    r = r[np.abs(r - 1) >= 0.02]
    gap = r * np.log(np.maximum(r, 1e-300)) - r + 1
    share = np.minimum(products / speeds, np.where(speeds > 1, 0.5, 1 - 1e-9))[..., None]  # so nothing peaks near 0
    slope = 1 - speeds[..., None] * share
    above = 1 + slope * (r - 1) - r * np.exp(-speeds[..., None] * np.log1p(share * (r - 1)))
    at_one = (1 - slope) * (2 - (1 + 1 / speeds[..., None]) * (1 - slope))
    return np.asarray(0.999 * np.minimum((above / gap).min(axis=-1), at_one[..., 0]))


def measure_information(strata: Sequence[Counts | Floats]) -> float:
    """Compute I(Z;C), or I(Z;C|Y) over strata, of the rows (K, G) of each, in nats."""
    total = 0.0
    for counts in strata:
        expected = counts.sum(axis=1, keepdims=True) * (counts.sum(axis=0) / max(1, counts.sum()))
        ratio = np.divide(counts, expected, out=np.ones(counts.shape), where=counts > 0)
        total += float((counts * np.log(ratio)).sum())
    return max(0.0, total / max(1, sum(float(counts.sum()) for counts in strata)))
