"""``midebias reproduce estimators``: estimates beside known mutual information."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datasets.synthetic import TASKS
from ..errors import DataError, InputError
from ..experiments.estimator_comparison import (
    OURS,
    Estimate,
    estimator_rows,
    estimator_summary,
    public_estimates,
    public_rows,
)
from ..experiments.run_folder import new_run_folder, results_document, write_json
from ..reporting.figures import draw_estimators
from .console import cells_bar, console, show_plain_table

__all__ = ["reproduce_estimators", "resume_estimators"]


def reproduce_estimators(
    seeds: Sequence[int], quick: bool, only: str | None, jobs: int, public: Path | None, output_dir: Path
) -> None:
    """Run the tasks, all or those named in ``only``; ``results.json`` grows as they are finished.

    ``public`` is a file with other people's estimators, see `midebias.experiments.estimator_comparison`.
    """
    if min(seeds) < 0:
        raise InputError(f"--seeds must be at least 0, got {min(seeds)}")
    wanted = _tasks(only)
    estimates = None if public is None else public_estimates(public)
    command = f"midebias reproduce estimators --seeds {','.join(map(str, seeds))}{' --quick' if quick else ''}"
    document = results_document(command, list(seeds), [], table="estimators", n=2_000 if quick else 10_000)
    folder = new_run_folder(output_dir, "reproduce-estimators")
    write_json(folder / "results.json", document)
    _run(folder, document, wanted, jobs, estimates)


def resume_estimators(folder: Path, only: str | None, jobs: int, public: Path | None) -> None:
    """Go on with a run of `reproduce_estimators`. Raises `DataError` when its record cannot be read."""
    path = folder / "results.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        complete = isinstance(document["rows"], list) and document["seed"] and document["n"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"--resume {folder} holds no table that can go on ({error})") from error
    if not complete:
        raise DataError(f"--resume {folder} holds no table that can go on: {path.name} names no seeds")
    _run(folder, document, _tasks(only), jobs, None if public is None else public_estimates(public))


def _tasks(only: str | None) -> list[str]:
    tasks = list(TASKS) if only is None else only.split(",")
    unknown = [name for name in tasks if name not in TASKS]
    if unknown:
        raise InputError(f"--only must name tasks among {', '.join(TASKS)}; got {unknown[0]!r}")
    return tasks


def _run(
    folder: Path, document: dict[str, Any], tasks: Sequence[str], jobs: int, estimates: Mapping[str, Estimate] | None
) -> None:
    rows: list[dict[str, Any]] = document["rows"]
    known = {(row["task"], row["seed"]) for row in rows}
    cells = [(task, seed) for seed in document["seed"] for task in tasks if (task, seed) not in known]
    with cells_bar(len(cells)) as done:
        for found in estimator_rows(cells, n=document["n"], jobs=jobs):
            rows += found
            write_json(folder / "results.json", document | {"summary": estimator_summary(rows)})
            row = found[0]
            done(f"{row['task']}: {row['value']:.3f}, truth {row['truth']:.3f}, {row['seconds']:.0f} s")
    if estimates is not None:
        _run_public(folder, document, tasks, estimates)
    others = [name for name in dict.fromkeys(row["estimator"] for row in rows) if name != OURS]
    header = ["task", "truth", OURS, "95%", "by", *others]
    lines = [_line(row, rows, others) for row in rows if row["estimator"] == OURS]
    show_plain_table(header, lines, title=f"n = {document['n']}")
    draw_estimators(folder / "estimators.png", rows)
    for name, share in estimator_summary(rows).items():
        console.print(f"{name}  {share['hits']} of {share['of']}", soft_wrap=True)
    console.print(f"results  {folder / 'results.json'}", soft_wrap=True)


def _run_public(
    folder: Path, document: dict[str, Any], tasks: Sequence[str], estimates: Mapping[str, Estimate]
) -> None:
    rows: list[dict[str, Any]] = document["rows"]
    known = {(row["task"], row["seed"], row["estimator"]) for row in rows}
    cells = [(task, seed) for seed in document["seed"] for task in tasks]
    with cells_bar(len(cells)) as done:
        for task, seed in cells:
            wanted = {name: f for name, f in estimates.items() if (task, seed, name) not in known}
            rows += public_rows(task, seed, wanted, n=document["n"])
            write_json(folder / "results.json", document | {"summary": estimator_summary(rows)})
            done(f"{task}, seed {seed}: other estimators")


def _line(row: dict[str, Any], rows: Sequence[dict[str, Any]], others: Sequence[str]) -> list[str]:
    same = {r["estimator"]: r for r in rows if r["task"] == row["task"] and r["seed"] == row["seed"]}
    theirs = [f"{same[name]['value']:.3f}" if name in same else "" for name in others]
    interval = f"{row['low']:.3f} to {row['high']:.3f}"
    return [row["task"], f"{row['truth']:.3f}", f"{row['value']:.3f}", interval, row["kind"], *theirs]
