"""The audit's result: prints as a table, and becomes a frame, JSON or a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AttributeLeakage", "AuditResult", "Finding"]


@dataclass(frozen=True)
class Finding:
    """One probe's answer to one question.

    Attributes
    ----------
    attribute : str
    condition : str
        "overall" for I(Z;C); "within classes" for I(Z;C|Y); "y = NAME" for I(Z;C) among that class's rows.
    probe : str
    n : int
        Held-out rows.
    accuracy, balanced_accuracy, chance, balanced_chance : float
        In [0, 1]; ``chance`` is the accuracy of always answering the most frequent category.
    balanced_low, balanced_high : float
        95% interval of ``balanced_accuracy``.
    mi, stderr, low, high : float
        Held-out lower estimate in nats, its standard error and 95% interval.
    p_value, p_adjusted : float
        Of independence; adjusted for all of the audit's tests.
    """

    attribute: str
    condition: str
    probe: str
    n: int
    accuracy: float
    balanced_accuracy: float
    chance: float
    balanced_chance: float
    balanced_low: float
    balanced_high: float
    mi: float
    stderr: float
    low: float
    high: float
    p_value: float
    p_adjusted: float


@dataclass(frozen=True)
class AttributeLeakage:
    """What is left of one attribute, over all probes.

    Attributes
    ----------
    attribute, condition, probe : str
        ``probe`` is the one with the largest estimate.
    leakage, low, high : float
        The largest held-out lower estimate, in nats, with a 95% interval that allows for having taken the largest.
    entropy : float
        H(C), or H(C|Y), in nats: no representation can leak more.
    p_adjusted : float
        The smallest over the probes.
    leaks : bool
        Whether independence is rejected.
    balanced_accuracy, balanced_chance : float
        Best probe's, beside chance.
    missing : int
        Rows without the attribute.
    """

    attribute: str
    condition: str
    probe: str
    leakage: float
    low: float
    high: float
    entropy: float
    p_adjusted: float
    leaks: bool
    balanced_accuracy: float
    balanced_chance: float
    missing: int


@dataclass(frozen=True)
class AuditResult:
    """What `audit` found.

    Attributes
    ----------
    summary : tuple of AttributeLeakage
        For each attribute: overall, within classes where y was given, and each class.
    findings : tuple of Finding
        Every probe's answer.
    groups, differences : tuple of dict
        Fairness metrics of the predictions; empty without them.
    warnings : tuple of str
    settings : dict
        What reproduces the audit: rows, dimensions, seed, level.
    """

    summary: tuple[AttributeLeakage, ...]
    findings: tuple[Finding, ...]
    groups: tuple[dict[str, Any], ...]
    differences: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    settings: dict[str, Any]
    _sample: Mapping[str, Any] = field(repr=False, default_factory=dict)

    @property
    def leaks(self) -> bool:
        """Whether any attribute leaks, overall or within classes."""
        return any(s.leaks for s in self.summary)

    @property
    def worst(self) -> AttributeLeakage:
        """The largest leakage found: of what leaks, or of everything if nothing does."""
        leaking = [s for s in self.summary if s.leaks]
        return max(leaking or self.summary, key=lambda s: s.leakage)

    @property
    def leakage(self) -> float:
        """The largest held-out lower estimate over attributes, classes and probes, in nats."""
        return self.worst.leakage

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of ``leakage``."""
        return self.worst.low, self.worst.high

    @property
    def p_value(self) -> float:
        """Smallest p-value of independence, adjusted for all tests."""
        return min(s.p_adjusted for s in self.summary)

    def exceeds(self, max_leakage: float, *, condition: str | None = None) -> bool:
        """Whether some attribute leaks, and more than ``max_leakage`` nats: zero allows nothing that can be shown.

        ``condition`` looks at "overall" or "within classes" only.
        """
        return any(s.leaks and s.leakage > max_leakage for s in self.summary if condition in (None, s.condition))

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        return self.verdict_on(None)

    def verdict_on(self, condition: str | None) -> str:
        """The result in a sentence: of "overall", of "within classes" where y was given, or of everything (None).

        Raises `InputError` for another condition.
        """
        looked_at = self._looked_at(condition)
        names = list(dict.fromkeys(s.attribute for s in looked_at))
        leaking = [s for s in looked_at if s.leaks]
        if not leaking:
            who = names[0] if len(names) == 1 else "any of " + ", ".join(names)
            n = f"{self.settings['rows_probed']:,}"
            beyond = " beyond what the label tells" if condition == "within classes" else ""
            return f"No leakage found: no probe could tell {who} from the representation{beyond}, on {n} rows."
        worst = max(leaking, key=lambda s: s.leakage)
        low, high = max(0.0, worst.low), worst.high
        where = {"overall": "", "within classes": " beyond what the label tells"}.get(
            worst.condition, f" among rows with {worst.condition}"
        )
        others = list(dict.fromkeys(s.attribute for s in leaking if s.attribute != worst.attribute))
        also = f" Also leaking: {', '.join(others)}." if others else ""
        return (
            f"The representation leaks {worst.attribute}{where}: at least {worst.leakage:.3f} nats "
            f"(95% interval {low:.3f} to {high:.3f}, of {worst.entropy:.3f} possible). A fresh probe tells it with "
            f"balanced accuracy {worst.balanced_accuracy:.2f}; chance is {worst.balanced_chance:.2f}.{also}"
        )

    def _looked_at(self, condition: str | None) -> list[AttributeLeakage]:
        if condition not in (None, "overall", "within classes"):
            raise InputError(f"condition must be 'overall', 'within classes' or None, got {condition!r}")
        return [s for s in self.summary if condition in (None, s.condition)] or list(self.summary)

    def to_frame(self) -> pd.DataFrame:
        """Every finding as a row, columns named as the attributes of `Finding`."""
        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise InputError("to_frame: pandas is not installed; pip install 'midebias[audit]'") from None
        return pd.DataFrame([asdict(f) for f in self.findings])

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, as in the JSON."""
        return {
            "schema": 1,
            "verdict": self.verdict,
            "leaks": self.leaks,
            "leakage": self.leakage,
            "interval": list(self.interval),
            "p_value": self.p_value,
            "summary": [asdict(s) for s in self.summary],
            "rows": [asdict(f) for f in self.findings],
            "groups": list(self.groups),
            "differences": list(self.differences),
            "warnings": list(self.warnings),
            "settings": self.settings,
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """The result as JSON text; also written to ``path`` where given."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def to_html(self, path: str | Path, *, title: str = "Leakage audit", command: str | None = None) -> None:
        """Write one self-contained page, which needs no network.

        Parameters
        ----------
        path : path
        title : str
        command : str, optional
            Shown as what reproduces the page.
        """
        from ..reporting.html_report import write_html_report

        write_html_report(Path(path), title=title, content=self.report_content(command=command))

    def report_content(self, *, command: str | None = None, condition: str | None = None) -> dict[str, Any]:
        """What a page is drawn from: see `html_report.write_html_report`. ``condition``: see `verdict_on`."""
        found = self.to_dict()
        leaks = any(s.leaks for s in self._looked_at(condition))
        return {
            "verdict": {"text": self.verdict_on(condition), "status": "leaks" if leaks else "clean"},
            "leakage": {"summary": found["summary"], "rows": found["rows"]},
            "map": self._map(),
            "groups": found["groups"],
            "differences": found["differences"],
            "warnings": found["warnings"],
            "settings": self.settings,
            "command": command,
        }

    def _map(self) -> dict[str, Any] | None:
        """Two views of a sample of z, coloured by label and attributes."""
        if not self._sample:
            return None
        from sklearn.manifold import TSNE

        z: NDArray[np.floating[Any]] = self._sample["z"]
        centred = z - z.mean(axis=0)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        views = {"principal components": centred @ axes[:2].T}
        if z.shape[1] > 2 and len(z) >= 100:
            reduced = centred @ axes[: min(30, len(axes))].T
            embedding = TSNE(2, init="pca", perplexity=30, random_state=0, max_iter=350, n_jobs=1)
            views = {"neighbourhoods (t-SNE)": embedding.fit_transform(reduced), **views}
        return {
            "n": len(z),
            "views": [{"name": k, "points": _unit(v).round(4).tolist()} for k, v in views.items()],
            "colourings": self._sample["colourings"],
        }

    def __str__(self) -> str:
        lines = [self.verdict, ""]
        rows = [
            ("attribute", "condition", "leakage, nats", "95% interval", "of H", "best probe", "balanced", "chance", "p")
        ]
        for s in self.summary:
            p = "< 0.001" if s.p_adjusted < 0.001 else f"{s.p_adjusted:.3f}"
            rows.append(
                (
                    s.attribute, s.condition, f"{s.leakage + 0.0:.4f}", f"{s.low:.4f} to {s.high:.4f}",
                    f"{s.entropy:.3f}", s.probe, f"{s.balanced_accuracy:.3f}", f"{s.balanced_chance:.3f}",
                    p + ("  leaks" if s.leaks else ""),
                )
            )  # fmt: skip
        lines += _aligned(rows)
        if self.differences:
            lines += ["", "Predictions, largest differences between groups:"]
            table: list[tuple[str, ...]] = [
                ("attribute", "demographic parity", "equalized odds", "accuracy", "worst group's accuracy")
            ]
            for d in self.differences:
                keys = ("demographic_parity_difference", "equalized_odds_difference", "accuracy_difference")
                table.append(
                    (
                        d["attribute"],
                        *("–" if d[k] is None else f"{d[k]:.3f}" for k in keys),
                        f"{d['worst_group_accuracy']:.3f}",
                    )
                )
            lines += _aligned(table)
        lines += [""] * bool(self.warnings) + [f"Warning: {w}" for w in self.warnings]
        return "\n".join(lines)


def _unit(points: NDArray[Any]) -> NDArray[Any]:
    """Into the unit square; outliers to its edge."""
    low, high = np.percentile(points, 0.5, axis=0), np.percentile(points, 99.5, axis=0)
    return np.clip((points - low) / np.where(high > low, high - low, 1), 0, 1)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows]
