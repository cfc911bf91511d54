"""How `midebias compare` and `midebias reproduce` run a grid: progress, record and report."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..experiments.grid import Grid
from .console import cells_bar, console

Rows = Sequence[dict[str, Any]]


def run_grid(
    grid: Grid[Any],
    *,
    only: Sequence[str] | None,
    jobs: int,
    describe: Callable[[Rows], str],
    report: Callable[[Path, dict[str, Any]], None],
) -> None:
    """Run what is missing and report what is there.

    Parameters
    ----------
    grid : Grid
    only : sequence of str or None
        Groups of cells to run now.
    jobs : int
        Cells at a time.
    describe : callable
        Rows of a cell -> what a line says of them.
    report : callable
        Is handed the run folder and ``results.json``; shows the table and draws what there is to draw.

    Raises
    ------
    DataError
        When a cell failed; the others are run and reported first.
    """
    folder, failure = grid.folder, None
    console.print(f"{len(grid.cells)} runs, {len(grid.read_records())} of them done; folder {folder}", soft_wrap=True)
    with cells_bar(sum(only is None or cell.group in only for cell in grid.cells)) as advance:
        try:
            for cell, rows in grid.run(only, jobs=jobs):
                advance(f"{cell.name}: {describe(rows)}")
        except DataError as error:
            failure = error
    if grid.read_records():
        report(folder, json.loads((folder / "results.json").read_text(encoding="utf-8")))
        console.print(f"results  {folder / 'results.json'}", soft_wrap=True)
    if failure is not None:
        raise failure
