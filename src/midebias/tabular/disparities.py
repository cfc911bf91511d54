"""How often something is decided in each group, and how far groups differ."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_ROWS = 20  # of a group, for its rate to be compared


def list_differences(decided: NDArray[np.bool_], group: NDArray[Any], n_groups: int) -> NDArray[np.float64]:
    """List how much each two of the groups 0 .. n_groups - 1 differ in how often something is decided: (pairs, 2).

    Beside each difference stands its standard error. Groups of fewer than 20 rows are left out.
    """
    members = [group == g for g in range(n_groups)]
    known = [rows for rows in members if rows.sum() >= _LEAST_ROWS]
    rates = np.array([decided[rows].mean() for rows in known])
    variance = decided.mean() * (1 - decided.mean()) if len(decided) else 0.0
    of_mean = np.array([variance / rows.sum() for rows in known])
    i, j = np.triu_indices(len(known), 1)
    return np.column_stack([np.abs(rates[i] - rates[j]), np.sqrt(of_mean[i] + of_mean[j])])


def find_largest(differences: NDArray[np.float64], errors: float = 0.0) -> float:
    """Find the largest of differences (pairs, 2), each less so many standard errors; NaN where there are none."""
    return float((differences[:, 0] - errors * differences[:, 1]).max()) if len(differences) else math.nan
