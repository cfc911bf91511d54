"""Means and standard deviations over seeds."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def summarize_runs(
    rows: Sequence[Mapping[str, Any]], *, by: Sequence[str], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Mean and standard deviation of each group of runs.

    Parameters
    ----------
    rows : sequence of mapping
    by : sequence of str
        Columns that a group shares.
    columns : sequence of str
        What is averaged, where the first row of a group has it; None in a row does not count.

    Returns
    -------
    list of dict
        The columns of ``by``, ``seeds`` (how many runs), and of each column ``column`` and ``column_std``: 0 of one
        run, both None where no run has a value.
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
