"""How often something is decided in each group, and how far groups differ."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_ROWS = 20  # of a group, for its rate to be compared


def measure_rates(decided: NDArray[np.bool_], group: NDArray[Any], n_groups: int) -> NDArray[np.float64]:
    """Compute how often something is decided in each group 0 .. n_groups - 1; NaN of fewer than 20 rows."""
    sizes = [(group == g).sum() for g in range(n_groups)]
    return np.array([decided[group == g].mean() if n >= _LEAST_ROWS else math.nan for g, n in enumerate(sizes)])


def compare_rates(rates: Sequence[NDArray[np.float64]]) -> float:
    """Find the largest difference between groups, of several rates; NaN where fewer than two groups are known."""
    known = [of_groups[~np.isnan(of_groups)] for of_groups in rates]
    return max((float(np.ptp(of_groups)) for of_groups in known if len(of_groups) > 1), default=math.nan)


def list_differences(decided: NDArray[np.bool_], group: NDArray[Any], n_groups: int) -> NDArray[np.float64]:
    """List the differences of `measure_rates` between each two groups, with their standard errors: (pairs, 2)."""
    rates = measure_rates(decided, group, n_groups)
    known = np.flatnonzero(~np.isnan(rates))
    variance = decided.mean() * (1 - decided.mean()) if len(decided) else 0.0
    of_mean = np.array([variance / (group == g).sum() for g in known])
    i, j = np.triu_indices(len(known), 1)
    return np.column_stack([np.abs(rates[known[i]] - rates[known[j]]), np.sqrt(of_mean[i] + of_mean[j])])


def find_largest(differences: NDArray[np.float64], errors: float = 0.0) -> float:
    """Find the largest of differences (pairs, 2), each less so many standard errors; NaN where there are none."""
    return float((differences[:, 0] - errors * differences[:, 1]).max()) if len(differences) else math.nan
