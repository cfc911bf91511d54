"""What `midebias erase` measures: leakage, what is kept and how far rows moved, on rows the eraser has not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..column_kinds import Column, read_columns
from ..erasure.moments import CrossMoments
from ..errors import InputError, TooFewSamples
from ..leakage.auditing import audit, code_groups
from ..leakage.findings import AttributeLeakage, Condition
from ..leakage.result import AuditResult
from ..leakage.split import deal_groups

Floats = NDArray[np.floating[Any]]

_PARTS = 3  # of the rows, one of which is held out
_FAST = ("linear", "boosted trees")
_ROWS_OF_A_POINT = 4_000
_NEIGHBOURS, _QUERIES, _CANDIDATES = 10, 1_000, 5_000
_BINS = 40
_RULE = "The map that was written, and maps that go a part of the way to it, on {rows:,} rows held out."


@dataclass(frozen=True)
class HeldOut:
    """Rows that an eraser has not seen: which they are, and their columns; z is always that of these rows (n, dim).

    ``label`` is what separation conditions on, or None; ``useful`` are columns that are to be kept.
    """

    rows: NDArray[np.intp]
    attributes: Mapping[str, Any]
    label: Any
    useful: Mapping[str, Any]
    groups: Any
    options: Mapping[str, Any]  # of `audit`

    @property
    def condition(self) -> Condition:
        """What is minimised."""
        return "overall" if self.label is None else "within classes"

    @property
    def _fast(self) -> list[str]:
        """Probes, of those asked for, for what is measured many times."""
        asked = list(self.options["probes"])
        return [name for name in asked if name in _FAST] or asked

    def audit(self, z: Floats, **options: Any) -> AuditResult:
        """Audit z, with more options of `audit`."""
        return self._audit(z, self.attributes, label=self.label, **options)

    def audit_useful(self, z: Floats) -> Sequence[AttributeLeakage]:
        """Audit what z tells of each useful column."""
        return self._audit(z, self.useful, probes=self._fast).summary if self.useful else ()

    def compare(
        self, before: Floats, linear: Floats | None, after: Floats, *, told: Sequence[AttributeLeakage],
        audits: tuple[AuditResult, AuditResult],
    ) -> dict[str, Any]:  # fmt: skip
        """Compare z before, which ``told`` so much of the useful columns, and after, with the ``audits`` of both.

        The way there goes by a ``linear`` map, or straight. Returns the contents ``kept``, ``movement`` and ``front``
        of `write_html_report`.
        """
        pairs = zip(told, self.audit_useful(after), strict=True)
        columns = [{"before": asdict(a), "after": asdict(b)} for a, b in pairs]
        way = [(f"{share:.0%} of the way", before, after, share) for share in (0.25, 0.5, 0.75)]
        if linear is not None:
            way = [("half of linear", before, linear, 0.5), ("linear", before, linear, 1.0)]
            way += [("half of the rest", linear, after, 0.5)]
        way = [("as it was", before, after, 0.0), *way, ("erased", before, after, 1.0)]
        known = dict(zip(("as it was", "erased"), audits, strict=True)) if len(self.rows) <= _ROWS_OF_A_POINT else {}
        points = [
            self._measure_point(name, before, (1 - share) * a + share * b, known.get(name)) for name, a, b, share in way
        ]
        points[-1]["chosen"] = True
        for p in points:
            beaten = (q["x"] <= p["x"] and q["y"] >= p["y"] and (q["x"], q["y"]) != (p["x"], p["y"]) for q in points)
            p["front"] = not any(beaten)
        accuracies = [f"balanced accuracy of a probe of {name}" for name in self.useful]
        return {
            "kept": {
                "columns": columns, "neighbours": self.compare_neighbours(before, after),
                "covariances": self._compare_covariances(before, after),
            },
            "movement": measure_movement(before, after),
            "front": {
                "points": points, "x_label": "leakage, nats", "y_label": [*accuracies, "share of neighbours kept"][0],
                "rule": _RULE.format(rows=min(len(self.rows), _ROWS_OF_A_POINT)),
            },
        }  # fmt: skip

    def compare_neighbours(self, before: Floats, after: Floats) -> dict[str, Any]:
        """Compare the ten nearest neighbours among rows held out: the share kept, and of the same category."""
        among = np.random.default_rng(self.options["random_state"]).permutation(len(before))[:_CANDIDATES]
        nearest = [_find_neighbours(z[among]) for z in (before, after)]
        kept = np.mean([len(np.intersect1d(a, b)) for a, b in zip(*nearest, strict=True)]) / _NEIGHBOURS
        alike = []
        for column in read_columns({**self.attributes, **self.useful}, "columns"):
            codes = column.code()[0][among]
            if column.is_category:
                shares = {"before": _agree(codes, nearest[0]), "after": _agree(codes, nearest[1])}
                chance = float(np.sum((np.bincount(codes[codes >= 0]) / np.sum(codes >= 0)) ** 2))
                alike.append({"column": column.name, **shares, "chance": chance})
        return {"queries": len(nearest[0]), "among": len(among), "kept": float(kept), "alike": alike}

    def _measure_point(self, name: str, before: Floats, z: Floats, found: AuditResult | None) -> dict[str, Any]:
        found = found or self.audit(z, max_rows=_ROWS_OF_A_POINT)
        worst = found.decide(condition=self.condition).worst
        point = {"label": name, "x": max(0.0, worst.leakage), "x_err": _find_stderr(found, worst), "chosen": False}
        if not self.useful:
            return point | {"y": self.compare_neighbours(before, z)["kept"]}
        useful = self._audit(z, self.useful, probes=self._fast, max_rows=_ROWS_OF_A_POINT)
        first = [f for f in useful.findings if f.attribute == useful.summary[0].attribute]
        best = max(first, key=lambda f: f.balanced_accuracy)
        return point | {"y": best.balanced_accuracy, "y_err": (best.balanced_high - best.balanced_low) / 3.92}

    def _compare_covariances(self, before: Floats, after: Floats) -> dict[str, float]:
        """Measure the change of z's covariance with each useful column, over that covariance."""
        found = {}
        for column in read_columns(self.useful, "useful") if self.useful else []:
            first, second = (_covary(z, column) for z in (before, after))
            found[column.name] = float(np.linalg.norm(second - first)) / max(float(np.linalg.norm(first)), 1e-300)
        return found

    def _audit(self, z: Floats, columns: Mapping[str, Any], label: Any = None, **options: Any) -> AuditResult:
        try:
            return audit(z, columns, label, groups=self.groups, **{**self.options, **options})
        except TooFewSamples as error:
            raise TooFewSamples(f"of the third of the rows that is held out, {error}") from error


def hold_out(
    n: int, attributes: Mapping[str, Any], label: Any, useful: Mapping[str, Any], groups: Any, **options: Any
) -> HeldOut:
    """Draw a third of n rows, of whole groups, by ``random_state`` among the ``options`` of `audit`."""
    for name, values in {**attributes, **useful}.items():
        if len(values) != n:
            raise InputError(f"{name!r} has {len(values):,} rows, and z has {n:,}")
    codes = np.arange(n) if groups is None else code_groups(groups, n)[0]
    generator = np.random.default_rng(options["random_state"])
    rows = np.sort(deal_groups(codes, np.arange(n), _PARTS, generator)[0])

    def take(values: Any) -> Any:
        return None if values is None else values.iloc[rows] if hasattr(values, "iloc") else values[rows]

    attributes, useful = ({name: take(values) for name, values in part.items()} for part in (attributes, useful))
    return HeldOut(rows, attributes, take(label), useful, take(groups), options)


def measure_movement(before: Floats, after: Floats) -> dict[str, Any]:
    """Measure how far rows moved, over the root mean square distance of rows from their mean."""
    spread = float(np.sqrt(before.var(axis=0, dtype=np.float64).sum())) or 1.0
    distance = np.linalg.norm(np.asarray(after, dtype=np.float64) - before, axis=1) / spread
    high = float(np.quantile(distance, 0.995)) or 1.0  # rows beyond are counted in the last bin
    counts, edges = np.histogram(np.minimum(distance, high), bins=_BINS, range=(0, high))
    figures = {"mean_square": float(np.mean(distance**2)), "median": float(np.median(distance))}
    return figures | {"largest": float(distance.max()), "counts": counts.tolist(), "edges": edges.tolist()}


def _find_neighbours(z: Floats) -> NDArray[np.intp]:
    """Find the nearest other rows of the first rows: (queries, 10)."""
    from sklearn.neighbors import NearestNeighbors

    z = np.asarray(z, dtype=np.float32)
    search = NearestNeighbors(n_neighbors=_NEIGHBOURS + 1, algorithm="brute").fit(z)
    found = search.kneighbors(z[:_QUERIES], return_distance=False)
    others = found != np.arange(len(found))[:, None]
    others[others.all(axis=1), -1] = False  # where as many equal rows hide the row itself
    return found[others].reshape(len(found), -1)


def _agree(codes: NDArray[np.int64], nearest: NDArray[np.intp]) -> float:
    """Share of the neighbours in the category of each row that has one."""
    own = codes[: len(nearest)]
    return float((codes[nearest] == own[:, None])[own >= 0].mean())


def _covary(z: Floats, column: Column) -> NDArray[np.float64]:
    moments, n = CrossMoments(column, z.shape[1]), len(z)
    moments.update(z - z.mean(axis=0, dtype=np.float64), column, np.ones(n), np.zeros(n))
    return moments.compute_covariance()


def _find_stderr(found: AuditResult, s: AttributeLeakage) -> float:
    """Find the standard error of the finding that a summary rests on."""
    return next(
        f.stderr for f in found.findings if (f.attribute, f.condition, f.probe) == (s.attribute, s.condition, s.probe)
    )
