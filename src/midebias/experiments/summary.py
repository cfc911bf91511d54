"""Means and standard deviations over seeds."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def summarize_runs(
    rows: Sequence[Mapping[str, Any]], *, by: Sequence[str], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Mean and standard deviation of ``columns`` over the runs (``seeds``, a number) that share those of ``by``.

    Each has ``column`` and ``column_std``: 0 of one run, both None where no run has a value; None does not count.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in by), []).append(row)
    summary = []
    for key, mine in groups.items():
        entry: dict[str, Any] = dict(zip(by, key, strict=True)) | {"seeds": len(mine)}
        for column in columns:
            if column in mine[0]:
                values = [r[column] for r in mine if r[column] is not None]
                entry[column] = statistics.mean(values) if values else None
                entry[f"{column}_std"] = None if not values else statistics.stdev(values) if len(values) > 1 else 0.0
        summary.append(entry)
    return summary


def format_spread(entry: Mapping[str, Any] | None, column: str) -> str:
    """Mean and standard deviation as tables show them: "0.973 ± 0.003"; no ± of one run, nothing without a value."""
    if entry is None or entry[column] is None:
        return ""
    return f"{entry[column]:.3f}" + (f" ± {entry[f'{column}_std']:.3f}" if entry["seeds"] > 1 else "")


def tabulate(
    summary: Sequence[Mapping[str, Any]], show: Callable[[Mapping[str, Any]], str]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of text: a method a line, a setting a column."""
    settings, methods = (list(dict.fromkeys(e[name] for e in summary)) for name in ("setting", "method"))
    cells = {(e["method"], e["setting"]): show(e) for e in summary}
    return ["method", *settings], [[m, *(cells.get((m, s), "") for s in settings)] for m in methods]
