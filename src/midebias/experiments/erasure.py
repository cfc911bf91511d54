"""What `midebias erase` measures: leakage, what is kept and how far rows moved, on rows the eraser has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..columns import Column, read_columns
from ..errors import TooFewSamples
from ..leakage.auditing import audit, code_groups
from ..leakage.result import AuditResult
from ..leakage.split import deal_groups

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]

_PARTS = 3  # of the rows, one of which is held out
_LEAST_ROWS = 300
_FAST = ("linear", "boosted trees")
_ROWS_OF_A_POINT = 4_000  # of the curve
_NEIGHBOURS, _QUERIES, _CANDIDATES = 10, 1_000, 5_000
_BINS = 40


@dataclass(frozen=True)
class HeldOut:
    """Rows that an eraser has not seen: which they are, and their columns; z is always that of these rows (n, dim).

    ``label`` is what separation conditions on, or None; ``useful`` are columns that are to be kept. Probes see
    ``max_rows`` rows at most.
    """

    rows: Rows
    attributes: Mapping[str, Any]
    label: Any
    useful: Mapping[str, Any]
    groups: Any
    seed: int
    max_rows: int

    def take(self, places: Rows) -> "HeldOut":
        """Some of the rows, by their places among these."""
        attributes, useful = (
            {name: _take(values, places) for name, values in part.items()} for part in (self.attributes, self.useful)
        )
        label, groups = (None if values is None else _take(values, places) for values in (self.label, self.groups))
        return replace(self, rows=self.rows[places], attributes=attributes, label=label, useful=useful, groups=groups)

    def audit(self, z: Floats, **options: Any) -> AuditResult:
        """Audit z, with options of `audit`."""
        return self._audit(z, self.attributes, label=self.label, **options)

    def audit_useful(self, z: Floats) -> AuditResult | None:
        """Audit what z tells of the useful columns, if there are any."""
        return self._audit(z, self.useful, probes=_FAST) if self.useful else None

    def compare(self, before: Floats, linear: Floats, after: Floats, *, method: str) -> dict[str, Any]:
        """Compare z before and after: contents ``kept``, ``movement`` and ``front`` of `write_html_report`."""
        columns = _list_kept(self.audit_useful(before), self.audit_useful(after))
        covariances, neighbours = self.compare_covariances(before, after), self.compare_neighbours(before, after)
        few = np.random.default_rng(self.seed).permutation(len(self.rows))[:_ROWS_OF_A_POINT]
        few.sort()
        part = self.take(few)
        return {
            "kept": {"columns": columns, "covariances": covariances, "neighbours": neighbours},
            "movement": self.measure_movement(before, after),
            "front": part.trace(_list_stages(before[few], linear[few], after[few], method)),
        }

    def trace(self, stages: Mapping[str, Floats]) -> dict[str, Any]:
        """Measure leakage and usefulness of several z, from the one that was given to the one that is chosen."""
        points, first = list[Any](), next(iter(stages.values()))
        for name, z in stages.items():
            useful = self.audit_useful(z)
            y = self.compare_neighbours(first, z)["kept"] if useful is None else useful.summary[0].balanced_accuracy
            points.append({"label": name, "x": max(0.0, self.audit(z, probes=_FAST).leakage), "y": y, "chosen": False})
        for p in points:
            beaten = (q["x"] <= p["x"] and q["y"] >= p["y"] and (q["x"], q["y"]) != (p["x"], p["y"]) for q in points)
            p["front"] = not any(beaten)
        points[-1]["chosen"] = True
        useful_name = next(iter(self.useful), None)
        return {
            "points": points, "x_label": "leakage, nats",
            "y_label": f"balanced accuracy of a probe of {useful_name}" if useful_name else "share of ten nearest neighbours kept",
            "rule": (
                "The map that was written, and maps that go a part of the way to it. Figures are of two probes "
                f"({', '.join(_FAST)}) on {len(self.rows):,} rows held out."
            ),
        }  # fmt: skip

    def compare_neighbours(self, before: Floats, after: Floats) -> dict[str, Any]:
        """Compare the ten nearest neighbours among rows held out: the share kept, and of the same category."""
        among = np.random.default_rng(self.seed).permutation(len(self.rows))[:_CANDIDATES]
        queries = min(_QUERIES, len(among))
        nearest = [_find_neighbours(z[among], queries) for z in (before, after)]
        kept = np.mean([len(np.intersect1d(a, b)) for a, b in zip(*nearest, strict=True)]) / _NEIGHBOURS
        found: dict[str, Any] = {"queries": queries, "among": len(among), "kept": float(kept), "alike": []}
        for column in read_columns({**self.attributes, **self.useful}, "columns"):
            if column.is_category:
                codes = column.code()[0][among]
                shares = [float(np.mean(_agree(codes, place))) for place in nearest]
                known = codes[codes >= 0]
                chance = float(np.sum((np.bincount(known) / len(known)) ** 2))
                found["alike"].append(
                    {"column": column.name, "before": shares[0], "after": shares[1], "chance": chance}
                )
        return found

    def measure_movement(self, before: Floats, after: Floats) -> dict[str, Any]:
        """Measure how far rows held out moved, over the root mean square distance of rows from their mean."""
        z = before.astype(np.float64)
        spread = float(np.sqrt(z.var(axis=0).sum())) or 1.0
        distance = np.linalg.norm(after - z, axis=1) / spread
        high = float(np.quantile(distance, 0.995)) or 1.0  # rows beyond are counted in the last bin
        counts, edges = np.histogram(np.minimum(distance, high), bins=_BINS, range=(0, high))
        return {
            "mean_square": float(np.mean(distance**2)), "median": float(np.median(distance)),
            "largest": float(distance.max()), "counts": counts.tolist(), "edges": edges.tolist(),
        }  # fmt: skip

    def compare_covariances(self, before: Floats, after: Floats) -> dict[str, float]:
        """Measure the change of z's covariance with each useful column, over that covariance."""
        found = {}
        for column in read_columns(self.useful, "keep") if self.useful else []:
            first, change = (_covary(z, column) for z in (before, after - before))
            found[column.name] = float(np.linalg.norm(change)) / max(float(np.linalg.norm(first)), 1e-300)
        return found

    def _audit(self, z: Floats, columns: Mapping[str, Any], label: Any = None, **options: Any) -> AuditResult:
        options = {"max_rows": self.max_rows, "random_state": self.seed} | options
        try:
            return audit(z, columns, label, groups=self.groups, **options)
        except TooFewSamples as error:
            raise TooFewSamples(f"of the third of the rows that is held out, {error}") from error


def hold_out(
    n: int, attributes: Mapping[str, Any], label: Any, useful: Mapping[str, Any], groups: Any, *, seed: int,
    max_rows: int,
) -> HeldOut:  # fmt: skip
    """Draw a third of n rows, of whole groups. Raises `TooFewSamples` for fewer than 300 rows, or three groups."""
    if n < _LEAST_ROWS:
        raise TooFewSamples(
            f"z has {n} rows; at least {_LEAST_ROWS} are needed: two thirds to fit an eraser on, and a third to audit"
        )
    codes, rows = np.arange(n) if groups is None else code_groups(groups, n)[0], np.arange(n)
    if codes.max() + 1 < _PARTS:
        raise TooFewSamples(
            f"groups has {codes.max() + 1} distinct values; at least {_PARTS} are needed to hold some out"
        )
    held = np.sort(deal_groups(codes, rows, _PARTS, np.random.default_rng(seed))[0])
    return HeldOut(rows, attributes, label, useful, groups, seed, max_rows).take(held)


def _list_stages(before: Floats, linear: Floats, after: Floats, method: str) -> dict[str, Floats]:
    """List z on the way from what it was to what is written, by way of the linear map where there is one."""
    if method == "linear":
        way: dict[str, Floats] = {
            f"{share:.0%} of the way": before + np.float32(share) * (after - before) for share in (0.25, 0.5, 0.75)
        }
    else:
        way = {"half of linear": (before + linear) / 2, "linear": linear, "half of nonlinear": (linear + after) / 2}
    return {"as it was": before, **way, method: after}


def _list_kept(before: AuditResult | None, after: AuditResult | None) -> list[dict[str, Any]]:
    """List what probes tell of the useful columns, before and after."""
    if before is None or after is None:
        return []
    figures = ("balanced_accuracy", "leakage", "low", "high")
    return [
        {"column": a.attribute, "chance": a.balanced_chance}
        | {f"{figure}_{when}": getattr(s, figure) for when, s in (("before", a), ("after", b)) for figure in figures}
        for a, b in zip(before.summary, after.summary, strict=True)
    ]


def _take(values: Any, rows: Rows) -> Any:
    return values.iloc[rows] if hasattr(values, "iloc") else values[rows]


def _find_neighbours(z: Floats, queries: int) -> NDArray[np.intp]:
    """Find the nearest other rows of the first rows: (queries, 10)."""
    from sklearn.neighbors import NearestNeighbors

    z = np.asarray(z, dtype=np.float32)
    search = NearestNeighbors(n_neighbors=min(_NEIGHBOURS + 1, len(z)), algorithm="brute").fit(z)
    found = search.kneighbors(z[:queries], return_distance=False)
    others = found != np.arange(queries)[:, None]
    others[others.all(axis=1), -1] = False  # where as many equal rows hide the row itself
    return found[others].reshape(queries, -1)


def _agree(codes: NDArray[np.int64], nearest: NDArray[np.intp]) -> NDArray[np.float64]:
    """Share of the neighbours in the category of each row that has one."""
    own = codes[: len(nearest)]
    return (codes[nearest] == own[:, None])[own >= 0].mean(axis=1)


def _covary(z: Floats, column: Column) -> Floats:
    """Covariance of z (n, p) with the indicators of categories (p, k), or with a quantity (p, 1), where it is known."""
    codes, levels = column.code()
    known = codes >= 0
    values = column.values[:, None]
    if column.is_category:
        values = codes[:, None] == np.arange(len(levels))
    centred = values[known].astype(np.float64)
    centred -= centred.mean(axis=0)
    return z[known].astype(np.float64).T @ centred / max(int(known.sum()), 1)
