"""How large a dependence between cells and groups may be that shows as little as is seen, at finite n.

Given how many rows each cell has, those of one group among them are binomial, independently of other cells. So what is
seen is a sum over cells, whose mean, variance and third moment follow exactly from the rates of the group in the cells.
It lies above the truth on average, the more so the more cells there are. Rates are searched for the least favourable
ones: those that show least for their truth. A truth is excluded under which so little is seen too seldom.
"""

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_REACH = 6.0  # standard errors on either side, in which rates are looked for
_RATES, _NODES = 25, 32  # rates of a cell, and numbers of rows over which a mean is taken
_PRICES = np.linspace(0.0, 1.2, 41)
_STEPS = 240  # of the truth
_AT_ONCE = 1 << 20  # numbers, in the search
_LOW = -1.0  # the normal quantile of what groups show that are independent, below which nothing counts


class Rates(NamedTuple):
    """What each of several rates (m,) of each cell (K,) means: all (K, m).

    ``truth`` is what the cell adds to the truth; ``mean``, ``variance`` and ``third`` are the cumulants of what it adds
    to what is seen; ``slope`` is by how much that grows with the rows of the cell, times these rows.
    """

    truth: Floats
    mean: Floats
    variance: Floats
    third: Floats
    slope: Floats

    @classmethod
    def join(cls, several: list[Self]) -> Self:
        """Put tables below each other."""
        return cls(*(np.concatenate(part) for part in zip(*several, strict=True)))


def trace_information(rows: Counts, seen: Counts, share: float) -> Rates:
    """Twice n times the information of cells about a group of some share, as rates (K, m) of it would have it.

    ``rows`` (K,) lie in each cell, of which ``seen`` (K,) belong to the group.
    """
    n, rate, x, p = _list_rates(rows, seen, share)
    shown = 2 * n[..., None] * _diverge(x / n[..., None], share)
    truth = 2 * n * _diverge(rate, share)
    mean = (p * shown).sum(axis=-1)
    deviation = shown - mean[..., None]
    variance, third = ((p * deviation**k).sum(axis=-1) for k in (2, 3))
    return Rates(truth, mean, variance + truth**2 / n, third + truth**3 / n**2, truth)


def trace_difference(first: Counts, second: Counts) -> Rates:
    """The total variation between two groups, from the rows (K,) of each."""
    rows, size = first + second, float(first.sum() + second.sum())
    share = first.sum() / size
    n, rate, x, p = _list_rates(rows, first, share)
    scale, mass = 1 / (2 * size * share * (1 - share)), n / size
    # Noise of a cell with much of the mass is smaller, since sizes of groups are known.
    moved = (
        n[..., None] * (rate[..., None] - share) + (x - n[..., None] * rate[..., None]) * np.sqrt(1 - mass)[..., None]
    )
    shown, sign = scale * np.abs(moved), np.abs((p * np.sign(moved)).sum(axis=-1))
    truth = scale * n * np.abs(rate - share)
    mean = (p * shown).sum(axis=-1)
    deviation = shown - mean[..., None]
    variance, third = ((p * deviation**k).sum(axis=-1) for k in (2, 3))
    together = sign**2 * mass**2 * scale**2 * size * share * (1 - share)
    return Rates(truth, mean, variance + together + truth**2 / n, third, sign * truth)


def find_largest(
    rates: Rates, seen: float, n: int, delta: float, *, margins: int = 0, least_variance: float = 0.0
) -> float:
    """The largest truth under which no more than ``seen`` is seen with a probability above ``delta``, of n rows.

    ``margins`` is the number of shares that are estimated, each of which takes off a chi-square of one degree. The
    variance of what is seen is taken to be ``least_variance`` at least.
    """
    from scipy.special import ndtri  # type: ignore[import-untyped,unused-ignore]  # comes with scikit-learn

    z, caution, found = float(ndtri(delta)), 0.0, 0.0
    # Less than independent groups show in nearly all draws says no more than that (Cowan et al. 2011).
    at = zip(rates[1:4], (1, 2, 8), strict=True)
    mean, variance, third = (np.array([part[:, 0].sum() - cumulant * margins]) for part, cumulant in at)
    usual = _find_quantile(mean, variance, third, _LOW)
    seen = max(seen, float(usual[0]))
    for _ in range(3):
        cost, cells = rates.mean - caution * rates.variance, np.arange(len(rates.mean))
        at_once = max(1, _AT_ONCE // cost.size)
        chosen = np.concatenate([
            (cost - prices[:, None, None] * rates.truth).argmin(axis=2)
            for prices in np.split(_PRICES, range(at_once, len(_PRICES), at_once))
        ])  # fmt: skip
        truth, mean, variance, third, slope = (part[cells, chosen].sum(axis=1) for part in rates)
        tried = truth[0] + (truth[-1] - truth[0]) * np.linspace(0, 1, _STEPS) ** 2
        mean, variance, third, slope = (np.interp(tried, truth, part) for part in (mean, variance, third, slope))
        variance = np.maximum(variance - slope**2 / n - 2 * margins, max(1e-12, least_variance))
        above = _find_quantile(mean - margins, variance, third - 8 * margins, z) - seen
        low = np.flatnonzero(above <= 0)
        i = int(low[-1]) if len(low) else 0
        found = float(tried[i])
        if len(low) and i + 1 < _STEPS:
            found += float((tried[i + 1] - found) * above[i] / (above[i] - above[i + 1]))
        caution = max(0.0, -z) / (2 * math.sqrt(variance[i]))
    return found


def find_largest_mean(rates: Floats, sizes: Counts, seen: float, delta: float) -> float:
    """The largest mean of rates (m, G), in rising order, under which so little is seen with more than ``delta``."""
    from scipy.special import ndtri  # type: ignore[import-untyped,unused-ignore]  # comes with scikit-learn

    means, weights, spread = rates.mean(axis=1), 1 / (len(sizes) * sizes), rates * (1 - rates)
    variance = (spread * sizes * weights**2).sum(axis=1)
    third = (spread * (1 - 2 * rates) * sizes * weights**3).sum(axis=1)
    above = _find_quantile(means, np.maximum(variance, 1e-18), third, float(ndtri(delta))) - seen
    low = np.flatnonzero(above <= 0)
    i = int(low[-1]) if len(low) else 0
    if i + 1 == len(means) or not len(low):
        return float(means[i])
    return float(means[i] + (means[i + 1] - means[i]) * above[i] / (above[i] - above[i + 1]))


def _find_quantile(mean: Floats, variance: Floats, third: Floats, z: float) -> Floats:
    """Quantile of a positive sum at the normal quantile z, from its cumulants (Jensen and Solomon 1972)."""
    mean, variance = np.maximum(mean, 1e-12), np.maximum(variance, 1e-12)
    power = np.clip(1 - mean * third / (3 * variance**2), 0.15, 20.0)
    error = power * np.sqrt(variance) / mean
    return np.asarray(mean * np.maximum(1 + error**2 * (power - 1) / (2 * power) + z * error, 0) ** (1 / power))


def _list_rates(rows: Counts, seen: Counts, share: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Rows (K, 1), rates (K, m) around the share and the one seen, and numbers with probabilities (K, m, nodes)."""
    from scipy.special import gammaln, xlogy  # type: ignore[import-untyped,unused-ignore]  # as above

    n = rows[:, None].astype(float)
    angles = np.arcsin(np.sqrt(np.stack([np.full(len(rows), share), seen / rows], axis=1)))
    reach = _REACH / (2 * np.sqrt(rows))
    low, high = np.maximum(angles.min(axis=1) - reach, 0), np.minimum(angles.max(axis=1) + reach, math.pi / 2)
    rate = np.sin(np.linspace(low, high, _RATES, axis=1)) ** 2
    rate = np.concatenate([np.full((len(rows), 1), share), rate], axis=1)
    spread = 5 * np.sqrt(n * rate * (1 - rate)) + 2
    first, last = np.clip(np.floor(n * rate - spread), 0, n), np.clip(np.ceil(n * rate + spread), 0, n)
    step = np.maximum(1, np.ceil((last - first) / (_NODES - 1)))
    x = first[..., None] + step[..., None] * np.arange(_NODES)
    inside, x, n_, r = x <= n[..., None], np.minimum(x, n[..., None]), n[..., None], rate[..., None]
    p = np.exp(gammaln(n_ + 1) - gammaln(x + 1) - gammaln(n_ - x + 1) + xlogy(x, r) + xlogy(n_ - x, 1 - r)) * inside
    return n, rate, x, p / p.sum(axis=-1, keepdims=True)


def _diverge(rate: Floats, share: float) -> Floats:
    """Kullback-Leibler divergence of a rate from a share, in nats."""
    from scipy.special import xlogy  # type: ignore[import-untyped,unused-ignore]  # as above

    return np.asarray(xlogy(rate, rate / share) + xlogy(1 - rate, (1 - rate) / (1 - share)))
