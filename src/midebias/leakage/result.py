"""The audit's result: prints as a table, and becomes a frame, JSON or a page."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .certificate import Certificate
from .findings import AttributeLeakage, Condition, Finding, Verdict, decide, format_differences, format_summary
from .questions import Unaudited
from .sample_map import map_sample

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AuditResult:
    """What `audit` found.

    Parameters
    ----------
    summary : tuple of AttributeLeakage
        For each attribute: overall, within classes where y was given, and in each class.
    findings : tuple of Finding
        Every probe's answer.
    groups, differences : tuple of dict
        Fairness metrics of the predictions, by group and between groups; empty without predictions.
    warnings : tuple of str
    settings : dict
        What reproduces the audit: rows, dimensions, seed, level.
    unaudited : tuple of Unaudited
        What could not be asked within classes.
    certificate : Certificate or None
        Upper bounds of what any classifier can tell, if they were asked for.
    """

    summary: tuple[AttributeLeakage, ...]
    findings: tuple[Finding, ...]
    groups: tuple[dict[str, Any], ...]
    differences: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    settings: dict[str, Any]
    _sample: Mapping[str, Any] = field(repr=False, default_factory=dict)
    unaudited: tuple[Unaudited, ...] = ()
    certificate: Certificate | None = None

    def decide(self, max_leakage: float = 0.0, *, condition: Condition = None) -> Verdict:
        """Decide on the table: its verdict, exit status and figures all come from here.

        Parameters
        ----------
        max_leakage : float, default 0.0
            In nats; zero allows nothing that can be shown.
        condition : {"overall", "within classes"}, optional
            Looks at these rows alone; "within classes" includes each class.

        Returns
        -------
        Verdict

        Raises
        ------
        InputError
            Another condition, or one that was not audited.
        """
        rows = self.settings["rows_probed"]
        return decide(self.summary, rows, condition=condition, max_leakage=max_leakage, unaudited=self.unaudited)

    @property
    def leaks(self) -> bool:
        """Whether any attribute leaks, overall or within classes."""
        return self.decide().leaks

    @property
    def worst(self) -> AttributeLeakage:
        """The largest leakage found: of what leaks, or of everything if nothing does."""
        return self.decide().worst

    @property
    def leakage(self) -> float:
        """The largest held-out lower estimate over attributes, classes and probes, in nats."""
        return self.worst.leakage

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of ``leakage``, in nats."""
        return self.worst.low, self.worst.high

    @property
    def p_value(self) -> float:
        """Smallest p-value of independence, adjusted for all tests."""
        return min(s.p_adjusted for s in self.summary)

    def exceeds(self, max_leakage: float, *, condition: Condition = None) -> bool:
        """Whether some attribute leaks, and more than a limit.

        Parameters
        ----------
        max_leakage : float
            In nats; zero allows nothing that can be shown.
        condition : {"overall", "within classes"}, optional
            See `decide`.
        """
        return bool(self.decide(max_leakage, condition=condition).exceeding)

    @property
    def verdict(self) -> str:
        """The result in a sentence or two."""
        return self.describe(None)

    def describe(self, condition: Condition) -> str:
        """Write the result in a sentence or two.

        Parameters
        ----------
        condition : {"overall", "within classes"} or None
            What it is about; see `decide`.
        """
        return self.decide(condition=condition).text

    def to_frame(self) -> "pd.DataFrame":
        """Return every finding as a row of a data frame, columns named as in `Finding`."""
        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise InputError("to_frame: pandas is not installed; pip install 'midebias[audit]'") from None
        return pd.DataFrame(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, as in the JSON."""
        return {
            "schema": 1, "verdict": self.verdict, "leaks": self.leaks, "leakage": self.leakage,
            "interval": list(self.interval), "p_value": self.p_value, "summary": [asdict(s) for s in self.summary],
            "rows": [asdict(f) for f in self.findings], "groups": list(self.groups),
            "differences": list(self.differences), "warnings": list(self.warnings), "settings": self.settings,
            "unaudited": [asdict(u) for u in self.unaudited],
            "certificate": None if self.certificate is None else self.certificate.to_dict(),
        }  # fmt: skip

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the result as JSON.

        Parameters
        ----------
        path : path, optional
            A file that it is also written to.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def to_html(self, path: str | Path, *, title: str = "Leakage audit", command: str | None = None) -> None:
        """Write one self-contained page, which needs no network.

        Parameters
        ----------
        path : path
        title : str, default "Leakage audit"
        command : str, optional
            Shown as what reproduces the page.
        """
        from ..reporting.html_report import write_html_report

        write_html_report(Path(path), title=title, content=self.collect_report_content(command=command))

    def collect_report_content(self, *, command: str | None = None, condition: Condition = None) -> dict[str, Any]:
        """Collect what a page is drawn from: see `html_report.write_html_report`.

        Parameters
        ----------
        command : str, optional
            What reproduces the page.
        condition : {"overall", "within classes"}, optional
            What the verdict is about; see `decide`.
        """
        found, verdict = self.to_dict(), self.decide(condition=condition)
        return {
            "verdict": {"text": verdict.text, "status": "leaks" if verdict.leaks else "clean"},
            "leakage": {"summary": found["summary"], "rows": found["rows"]},
            "map": map_sample(**self._sample) if self._sample else None,
            **{key: found[key] for key in ("certificate", "groups", "differences", "warnings", "settings")},
            "command": command,
        }

    def __str__(self) -> str:
        lines = [self.verdict, "", *format_summary(self.summary)]
        if self.differences:
            lines += ["", "Predictions, largest differences between groups:", *format_differences(self.differences)]
        lines += [] if self.certificate is None else ["", str(self.certificate)]
        lines += [""] * bool(self.warnings) + [f"Warning: {w}" for w in self.warnings]
        return "\n".join(lines)
