"""How `midebias compare` and `midebias reproduce` run a grid: progress, record and report."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, InputError
from ..experiments.grid import Grid
from .command_line import write_command
from .console import show_cells, show_files, show_line

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Reproduction:
    """What is asked of every table of ``midebias reproduce``."""

    seeds: Sequence[int]
    quick: bool
    only: Sequence[str] | None
    jobs: int
    resume: Path | None
    output_dir: Path

    def check_only(self, known: Collection[str], what: str) -> None:
        """Raise `InputError` where --only names something else."""
        unknown = [name for name in self.only or () if name not in known]
        if unknown:
            raise InputError(f"--only must name {what} {', '.join(known)}, got {unknown[0]!r}")

    def write_command(self, table: str, **options: Any) -> str:
        """The command line that this is."""
        return write_command(f"reproduce {table}", quick=self.quick, **options, seeds=",".join(map(str, self.seeds)))


def run_grid(
    grid: Grid[Any],
    *,
    only: Sequence[str] | None,
    jobs: int,
    describe: Callable[[Rows], str],
    report: Callable[[Path, dict[str, Any]], None],
) -> None:
    """Run what is missing, of the groups in ``only``, and report what is there, also where a cell failed."""
    folder, failure = grid.folder, None
    show_line(f"{len(grid.cells)} runs, {len(grid.read_records())} of them done; folder {folder}")
    with show_cells(sum(only is None or cell.group in only for cell in grid.cells)) as advance:
        try:
            for cell, rows in grid.run(only, jobs=jobs):
                advance(f"{cell.name}: {describe(rows)}")
        except DataError as error:
            failure = error
    if grid.read_records():
        report(folder, json.loads((folder / "results.json").read_text(encoding="utf-8")))
        show_files(folder, results="results.json")
    if failure is not None:
        raise failure
