"""What the HTML report of a run shows: training curves with their alarms, and the rows of a comparison."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..reporting.html_report import write_html_report
from ..reporting.method_titles import title_method

_STREAK = 3  # estimates in a row at or below zero that are an alarm


def describe_training(
    traces: Mapping[str, Sequence[Mapping[str, Any]]], *, names: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Turn points, by title of run, into ``training`` of `write_html_report`; ``names`` are those of its estimates."""
    runs = []
    for title, points in traces.items():
        if not points:
            continue
        depths = len(points[0]["mi"])
        series_names = [f"depth {i + 1}" for i in range(depths - 1)] + ["z"] if names is None else list(names)[-depths:]
        panels = [{"name": "task loss", "series": [{"name": "task loss", "values": [p["loss"] for p in points]}]}]
        if depths:
            series = [{"name": n, "values": [p["mi"][i] for p in points]} for i, n in enumerate(series_names)]
            panels.append({"name": "mutual information, nats", "series": series})
        alarms = _find_alarms(points, series_names if depths else ())
        runs.append({"name": title, "steps": [p["step"] for p in points], "panels": panels, "alarms": alarms})
    return runs


def _find_alarms(points: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    alarms = []
    for i, name in enumerate(names):
        streak = 0
        for point in points:
            streak = streak + 1 if point["mi"][i] <= 0 else 0
            if streak == _STREAK:
                text = f"the estimate of {name} stays at or below zero: no leakage is left, or the estimator lags"
                alarms.append({"step": point["step"], "text": text})
    for before, point in pairwise(points):
        if point["loss"] > 2 * before["loss"] + 0.5:
            alarms.append({"step": point["step"], "text": "the task loss more than doubled"})
    return sorted(alarms, key=lambda a: a["step"])


def describe_comparison(summary: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Turn the summary in `results.json` into the content ``comparison`` of `write_html_report`."""
    return [
        {
            "method": title_method(str(e["method"])), "setting": str(e["setting"]), "accuracy": e["test_accuracy"],
            "accuracy_std": e["test_accuracy_std"], "mi": e["mi"], "probe_accuracy": e["probe_accuracy"],
            "chance": e["chance"], "unbiased_accuracy": e.get("unbiased_accuracy"),
            "worst_group_accuracy": e.get("worst_group_accuracy"), "ours": str(e["method"]).split(":")[0] == "mib",
        }
        for e in summary
    ]  # fmt: skip


def write_report(folder: Path, *, title: str, verdict: str | Mapping[str, Any], **content: Any) -> None:
    """Write ``report.html`` of a run folder; a verdict in words is a note."""
    note = {"verdict": {"text": verdict, "status": "note"} if isinstance(verdict, str) else verdict}
    write_html_report(folder / "report.html", title=title, content=note | content)
