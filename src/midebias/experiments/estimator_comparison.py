"""Our estimate beside the known mutual information, scikit-learn's nearest neighbours where they apply, and others.

Other people's implementations come from a Python file with ``ESTIMATES = {"a name": estimate}``, where
``estimate(z, c, seed)`` returns nats from z (n, k) and c (n, m), both floating.
"""

import math
import re
import runpy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from ..datasets.synthetic import TASKS
from ..errors import InputError
from ..estimation.estimate import estimate_mi
from .grid import Cell, Grid

OURS = "estimate_mi"  # what our estimator is called in rows

Estimate = Callable[[Tensor, Tensor, int], float]  # of z (n, k), c (n, m) and a seed: nats


@dataclass(frozen=True)
class EstimatorCell(Cell):
    """One task of `TASKS`, of ``n`` pairs, by `OURS`, or by somebody else's ``estimator`` in the file ``public``."""

    moving: ClassVar[tuple[str, ...]] = ("public",)

    task: str
    seed: int
    n: int
    estimator: str = OURS
    public: str | None = None

    @property
    def group(self) -> str:
        """What `Grid.run` selects by: the task."""
        return self.task

    @property
    def name(self) -> str:
        """File name of its record."""
        return f"{self.task}-{re.sub(r'[^a-zA-Z0-9]+', '-', self.estimator)}-{self.n}-seed{self.seed}"

    def run(self) -> dict[str, Any]:
        """Estimate: a row each."""
        if self.public is None:
            return {"rows": estimate_task(self.task, self.n, self.seed)}
        estimate = {self.estimator: read_public_estimates(Path(self.public))[self.estimator]}
        return {"rows": estimate_publicly(self.task, self.seed, estimate, n=self.n)}


class EstimatorTable(Grid[EstimatorCell]):
    """Tasks of known mutual information, by ours and other estimators."""

    cell_type = EstimatorCell

    def describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """How many estimates lie near the truth."""
        return {"table": "estimators", "n": self.cells[0].n, "summary": count_hits(rows)}


def estimate_task(name: str, n: int, seed: int) -> list[dict[str, Any]]:
    """Rows of one task: ours with default settings, and scikit-learn's where both sides are one column."""
    task = TASKS[name]
    z, c, groups = task.sample(n, seed=seed)
    common = _describe_task(name, n, seed)
    started = time.perf_counter()
    result = estimate_mi(z, c, condition_on=groups, random_state=seed)
    low, high = result.interval
    rows = [
        common
        | {
            "estimator": OURS, "kind": result.estimator, "bound": result.bound, "value": result.value,
            "stderr": result.stderr, "low": low, "high": high, "p_value": result.p_value,
            "alarms": list(result.alarms), "seconds": time.perf_counter() - started,
        }
    ]  # fmt: skip
    if groups is None and z.shape[1] == 1 and (c.ndim == 1 or c.shape[1] == 1):
        from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

        theirs = mutual_info_regression if c.is_floating_point() else mutual_info_classif
        pair = z.numpy(), c.flatten().numpy()
        found = _time_estimate("scikit-learn", theirs.__name__, lambda: theirs(*pair, random_state=seed)[0])
        rows.append(common | found)
    return rows


def read_public_estimates(path: Path) -> dict[str, Estimate]:
    """``ESTIMATES`` of a Python file, which is run. Raises `InputError` when it has none."""
    if not path.is_file():
        raise InputError(f"--public {path} is not a file")
    found = runpy.run_path(str(path)).get("ESTIMATES")
    if not isinstance(found, dict) or not found or not all(callable(f) for f in found.values()):
        raise InputError(f"--public {path} must define ESTIMATES, a dict of functions of (z, c, seed)")
    taken = [name for name in found if name in (OURS, "scikit-learn")]
    if taken:
        raise InputError(f"--public {path} calls one of ESTIMATES {taken[0]!r}, which the table has already")
    return found


def estimate_publicly(name: str, seed: int, estimates: Mapping[str, Estimate], *, n: int) -> list[dict[str, Any]]:
    """Rows of other people's estimates on the pairs of a task, none where it has categories or groups."""
    z, c, groups = TASKS[name].sample(n, seed=seed)
    if groups is not None or not c.is_floating_point():
        return []
    rows, c = [], c.reshape(len(c), -1)
    for estimator, estimate in estimates.items():
        row = _describe_task(name, n, seed) | _time_estimate(estimator, "public", partial(estimate, z, c, seed))
        if not math.isfinite(row["value"]):
            raise InputError(f"--public: {estimator!r} returned {row['value']} on {name}, seed {seed}")
        rows.append(row)
    return rows


def _time_estimate(estimator: str, kind: str, estimate: Callable[[], Any]) -> dict[str, Any]:
    started = time.perf_counter()
    value = float(estimate())
    return {"estimator": estimator, "kind": kind, "value": value, "seconds": time.perf_counter() - started}


def _describe_task(name: str, n: int, seed: int) -> dict[str, Any]:
    task = TASKS[name]
    return {"task": name, "family": task.family, "dim": task.dim, "truth": task.truth, "n": n, "seed": seed}


def count_hits(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many of our estimates lie within the tolerances, and how many intervals cover the truth.

    ``within_small``: max(0.05 nats, 10%) for at most five columns; ``within_all``: max(0.1, 15%) for all;
    ``covered``: intervals of the linear normal and discrete families.
    """
    ours = [r for r in rows if r["estimator"] == OURS and r["truth"] <= 2]
    hits = {
        "within_small": [abs(r["value"] - r["truth"]) <= max(0.05, 0.1 * r["truth"]) for r in ours if r["dim"] <= 5],
        "within_all": [is_near(r) for r in ours],
        "covered": [r["low"] <= r["truth"] <= r["high"] for r in ours if r["family"] in ("normal", "discrete")],
    }
    return {k: {"hits": sum(h), "of": len(h), "share": sum(h) / len(h) if h else None} for k, h in hits.items()}


def is_near(row: Mapping[str, Any]) -> bool:
    """Whether an estimate lies within max(0.1 nats, 15%) of the truth."""
    return bool(abs(row["value"] - row["truth"]) <= max(0.1, 0.15 * row["truth"]))
