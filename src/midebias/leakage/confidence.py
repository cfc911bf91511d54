"""Upper confidence bounds at finite n: of a proportion, a total variation, a balanced accuracy, and an information.

The largest of several bounds, each of which holds for its own group, pair or class, holds for the largest truth:
nothing is shared out over them (Berger 1982).
"""

import math
from collections.abc import Sequence

import numpy as np

from .least_favourable import (
    Counts,
    Floats,
    Rates,
    find_largest,
    find_largest_mean,
    trace_difference,
    trace_information,
)
from .sets_of_cells import limit_difference_of_sets

_MOST_CELLS_OF_SETS = 4
_SHARE_OF_ERROR = 0.3  # of delta, for what three moments of information leave out
_TILTS = 400  # of rates of groups towards 0 or 1
_UNSEEN = np.linspace(0.0, 0.95, 4)  # of the log of delta, for rows that could lie in cells without any


def limit_proportion(successes: int, n: int, delta: float) -> float:
    """Bound a proportion (Clopper and Pearson 1934)."""
    from scipy.stats import beta  # type: ignore[import-untyped,unused-ignore]  # comes with scikit-learn

    return 1.0 if successes >= n else float(beta.ppf(1 - delta, successes + 1, n - successes))


def limit_total_variation(first: Counts, second: Counts, delta: float) -> float:
    """Bound the total variation between two groups' distributions over K cells, from the rows (K,) of each.

    Of up to four cells by the binomials of their sets, exactly. Of more, of which sets are known too little, by the
    least favourable rates.
    """
    first, second = sorted((first, second), key=lambda counts: int(counts.sum()))
    n, m = int(first.sum()), int(second.sum())
    if not n:
        return 1.0
    if len(first) <= _MOST_CELLS_OF_SETS:
        return limit_difference_of_sets(first, second, delta)
    first, second = first[first + second > 0], second[first + second > 0]
    # What is seen takes steps; half of one is allowed for.
    seen = float(np.abs(first / n - second / m).sum()) / 2 + 0.5 / m
    found = find_largest(trace_difference(first, second), seen, n + m, delta) if len(first) > 1 else 0.0
    unseen = -math.expm1(math.log(delta) / n)  # of the smaller group, that may lie where no row does
    return min(1.0, max(found, unseen))


def limit_balanced_accuracy(counts: Counts, delta: float) -> float:
    """Bound the mean over G groups of how often any answer to K cells names them, from the rows (K, G).

    Of two groups that is one half and half of the total variation, whose bound is narrower. Here the best answer, which
    is not known, shows at most what is seen: a mean of binomial rates, at those rates of some mean that vary most.
    """
    sizes, n_groups = counts.sum(axis=0), counts.shape[1]
    if not sizes.all():
        return 1.0
    seen = float((counts / sizes).max(axis=1).sum() + 0.5 / sizes.max()) / n_groups
    tilts = 1e6 ** np.linspace(-1, 1, _TILTS)[:, None] / sizes.max()
    rates = np.concatenate([np.clip(0.5 - tilts[::-1] * sizes, 0, 1), np.clip(0.5 + tilts * sizes, 0, 1)])
    found = find_largest_mean(rates, sizes, seen, delta)
    unseen = (1 - math.expm1(math.log(delta) / sizes.min())) / n_groups
    return min(1.0, max(seen, found, unseen))


def limit_information(strata: Sequence[Counts], delta: float) -> float:
    """Bound I(Z;C) in nats, or I(Z;C|Y) over strata, from the rows (K, G) of each.

    Of more than two groups it is the sum of what cells tell of each against those that are not yet named. Besides, a
    cell without a row here may hold the rarest group alone: as many rows in n as are missed with some probability, at
    which the others are then looked for. A stratum without rows of some group counts with log G.
    """
    n, cap = int(sum(counts.sum() for counts in strata)), math.log(max(counts.shape[1] for counts in strata))
    known = [counts for counts in strata if counts.sum(axis=0).all()]
    if not known:
        return cap
    n_known, several, rarest = int(sum(map(np.sum, known))), list[Rates](), 1.0
    for counts in known:
        order = np.argsort(-counts.sum(axis=0), kind="stable")
        rarest = min(rarest, float(counts.sum(axis=0).min() / counts.sum()))
        for at in range(len(order) - 1):
            rows, seen = counts[:, order[at:]].sum(axis=1), counts[:, order[at]]
            several.append(trace_information(rows[rows > 0], seen[rows > 0], float(seen.sum() / rows.sum())))
    rates, seen_of_all = Rates.join(several), 2 * n_known * measure_information(known)
    # Named one after the other, groups vary less together than they do: cells that tell much of one tell of the next.
    noise = 2 * (float(rates.mean[:, 0].sum()) - len(several))
    spread = (
        4 * sum(float((counts * _compare(counts) ** 2).sum()) for counts in known) - seen_of_all**2 / n_known - noise
    )
    unseen = _UNSEEN * math.log(1 / delta)
    levels = delta * (1 - _SHARE_OF_ERROR) * np.exp(unseen)
    found = max(
        find_largest(rates, seen_of_all, n_known, level, margins=len(several), least_variance=spread) / 2
        - rows * math.log(rarest)
        for rows, level in zip(unseen.tolist(), levels.tolist(), strict=True)
    )
    lost = limit_proportion(n - n_known, n, 0.25 * delta * _SHARE_OF_ERROR) * cap if n_known < n else 0.0
    return min(cap, found / n_known * min(1.0, n_known / n) + lost)


def measure_information(strata: Sequence[Counts | Floats]) -> float:
    """Compute I(Z;C), or I(Z;C|Y) over strata, of the rows (K, G) of each, in nats."""
    total = 0.0
    for counts in strata:
        total += float((counts * _compare(counts)).sum())
    return max(0.0, total / max(1, sum(float(counts.sum()) for counts in strata)))


def _compare(counts: Counts | Floats) -> Floats:
    """Log of p(c|z)/p(c) of rows (K, G), and 0 where there are none."""
    expected = counts.sum(axis=1, keepdims=True) * (counts.sum(axis=0) / max(1, counts.sum()))
    return np.log(np.divide(counts, expected, out=np.ones(counts.shape), where=counts > 0))
