"""``midebias reproduce estimators``: estimates beside known mutual information."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ..datasets.synthetic import TASKS
from ..experiments.estimator_comparison import OURS, EstimatorCell, EstimatorTable, read_public_estimates
from ..experiments.run_folder import write_config
from ..reporting.estimator_figures import draw_estimators
from .console import show_line, show_plain_table
from .run_grid import Reproduction, run_grid


def reproduce_estimators(given: Reproduction, *, public: Path | None) -> None:
    """Run the tasks, all or those named in ``only``; ``public`` is a file with other people's estimators."""
    given.check_only(TASKS, "tasks among")
    others = [] if public is None else list(read_public_estimates(public))
    if given.resume is not None:
        table = EstimatorTable.resume(given.resume)
        added = [
            EstimatorCell(c.task, c.seed, c.n, name, str(public))
            for c, name in product(table.cells, others)
            if c.estimator == OURS
        ]
        known = {c.name for c in table.cells}
        cells = [*table.cells, *(c for c in added if c.name not in known)]
        table = EstimatorTable(given.resume, cells, command=table.command)
        write_config(given.resume, table.config)
    else:
        command = given.write_command("estimators")
        cells = [
            EstimatorCell(task, seed, 2_000 if given.quick else 10_000, name, None if name == OURS else str(public))
            for name, seed, task in product([OURS, *others], given.seeds, TASKS)
        ]
        table = EstimatorTable(given.output_dir, cells, command=command).begin("reproduce-estimators")
    run_grid(table, only=given.only, jobs=given.jobs, describe=_describe, report=_report)


def _describe(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "does not apply"
    return f"{rows[0]['value']:.3f}, truth {rows[0]['truth']:.3f}, {rows[0]['seconds']:.0f} s"


def _report(folder: Path, document: dict[str, Any]) -> None:
    rows = document["rows"]
    others = [name for name in dict.fromkeys(row["estimator"] for row in rows) if name != OURS]
    header = ["task", "truth", OURS, "95%", "by", *others]
    lines = [_render_line(row, rows, others) for row in rows if row["estimator"] == OURS]
    show_plain_table(header, lines, title=f"n = {document['n']}")
    draw_estimators(folder / "estimators.png", rows)
    for name, share in document["summary"].items():
        show_line(f"{name}  {share['hits']} of {share['of']}")


def _render_line(row: dict[str, Any], rows: Sequence[dict[str, Any]], others: Sequence[str]) -> list[str]:
    same = {r["estimator"]: r for r in rows if r["task"] == row["task"] and r["seed"] == row["seed"]}
    theirs = [f"{same[name]['value']:.3f}" if name in same else "" for name in others]
    interval = f"{row['low']:.3f} to {row['high']:.3f}"
    return [row["task"], f"{row['truth']:.3f}", f"{row['value']:.3f}", interval, row["kind"], *theirs]
