"""What a run leaves behind, put in the words of `html_report`: training curves, comparisons and fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

__all__ = ["compared", "trained"]

_STREAK = 3  # estimates in a row at or below zero before it is said


def trained(
    traces: Mapping[str, Sequence[Mapping[str, Any]]], *, names: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Training curves of runs by title, from points with ``step``, ``loss`` and ``mi``.

    ``names`` are those of the estimates in ``mi``; default is depths of a network, of which the last is z.
    """
    runs = []
    for name, points in traces.items():
        if not points:
            continue
        depths = len(points[0]["mi"])
        called = [f"depth {i + 1}" for i in range(depths - 1)] + ["z"] if names is None else list(names)[-depths:]
        panels = [{"name": "task loss", "series": [{"name": "task loss", "values": [p["loss"] for p in points]}]}]
        if depths:
            series = [{"name": n, "values": [p["mi"][i] for p in points]} for i, n in enumerate(called)]
            panels.append({"name": "mutual information, nats", "series": series})
        steps = [p["step"] for p in points]
        runs.append({"name": name, "steps": steps, "panels": panels, "alarms": _alarms(points, called)})
    return runs


def _alarms(points: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    alarms = []
    for i, name in enumerate(names if points[0]["mi"] else ()):
        streak = 0
        for point in points:
            streak = streak + 1 if point["mi"][i] <= 0 else 0
            if streak == _STREAK:
                text = f"the estimate of {name} stays at or below zero: nothing left, or an estimator that lags"
                alarms.append({"step": point["step"], "text": text})
    for before, point in pairwise(points):
        if point["loss"] > 2 * before["loss"] + 0.5:
            alarms.append({"step": point["step"], "text": "the task loss more than doubled"})
    return sorted(alarms, key=lambda a: a["step"])


def compared(summary: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a comparison from the summary in `results.json`."""
    return [
        {
            "method": str(e["method"]), "setting": str(e["setting"]), "accuracy": e["test_accuracy"],
            "accuracy_std": e["test_accuracy_std"], "mi": e["mi"], "probe_accuracy": e["probe_accuracy"],
            "chance": e["chance"], "ours": str(e["method"]).split(":")[0] == "mib",
        }
        for e in summary
    ]  # fmt: skip
