"""Runs of a table, each kept in a file of its own, so that what was stopped or killed goes on."""

import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch

from ..errors import DataError, InputError
from .process import keep_freed_memory
from .run_folder import make_run_folder, read_config, write_json, write_results


class Cell(ABC):
    """One run; a frozen dataclass of everything that decides its outcome."""

    moving: ClassVar[tuple[str, ...]] = ()  # fields that say where data lie: another value is no other run
    method: str
    seed: int

    @property
    @abstractmethod
    def name(self) -> str:
        """File name of its record, without ending; no two cells of a grid share one."""

    @property
    def group(self) -> str:
        """What `Grid.run` selects by: the method."""
        return self.method

    @abstractmethod
    def run(self) -> dict[str, Any]:
        """Run it: ``rows`` of ``results.json``, and what else is to be kept."""


C = TypeVar("C", bound=Cell)


class Grid(ABC, Generic[C]):
    """Cells, and the run folder their records lie in: ``cells/`` in it holds a file per finished cell."""

    cell_type: ClassVar[type[Any]]
    apart: ClassVar[bool] = False  # whether each cell has a process, and so a peak of memory, of its own

    def __init__(self, folder: Path, cells: Sequence[C], *, command: str) -> None:
        if not cells:
            raise InputError("nothing to run: methods, settings and seeds must each name at least one")
        if len({c.name for c in cells}) != len(cells):
            raise InputError("methods, settings and seeds must not repeat")
        if any(c.seed < 0 for c in cells):
            raise InputError(f"--seeds must be at least 0, got {min(c.seed for c in cells)}")
        self.folder, self.cells, self.command = folder, tuple(cells), command

    def begin(self, name: str) -> Self:
        """Make a new run folder inside ``folder`` and go on in it."""
        self.folder = make_run_folder(self.folder, name, self.config)
        return self

    @property
    def config(self) -> dict[str, Any]:
        """What ``config.yaml`` holds, from which `resume` goes on."""
        return {"command": self.command, "cells": [_fields(c) for c in self.cells]}

    @classmethod
    def resume(cls, folder: Path) -> Self:
        """Read back what a run folder holds, to go on with it. Raises `DataError` when it is no grid of this kind."""
        cells, command = read_config(
            folder, "table", lambda config: ([cls.cell_type(**c) for c in config["cells"]], str(config["command"]))
        )
        return cls(folder, cells, command=command)

    def read_records(self) -> dict[str, dict[str, Any]]:
        """Read the records of finished cells, by name. Raises `DataError` for a damaged file, or other settings."""
        return {cell.name: self._read(cell) for cell in self.cells if self._path(cell).is_file()}

    def run(self, only: Sequence[str] | None = None, *, jobs: int = 1) -> Iterator[tuple[C, list[dict[str, Any]]]]:
        """Run what is missing, of the groups in ``only``; yields each cell with its rows and keeps ``results.json``."""
        if jobs < 1:
            raise InputError(f"jobs must be at least 1, got {jobs}")
        done, failed = self.read_records(), dict[str, str]()
        wanted = [cell for cell in self.cells if only is None or cell.group in only]
        yield from ((cell, done[cell.name]["rows"]) for cell in wanted if cell.name in done)
        missing = [cell for cell in wanted if cell.name not in done]
        for cell, why in self._run_apart(missing, jobs) if self.apart or jobs > 1 else self._run_here(missing):
            if why is not None:
                failed[cell.name] = why
                continue
            done[cell.name] = self._read(cell)
            self.write(done)
            yield cell, done[cell.name]["rows"]
        if done:
            self.write(done)
        if failed:
            name, why = next(iter(failed.items()))
            others = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
            raise DataError(f"{name} failed: {why}{others}")

    def write(self, done: Mapping[str, Mapping[str, Any]]) -> None:
        """Write ``results.json`` from the records of finished cells."""
        rows = [row for cell in self.cells if cell.name in done for row in done[cell.name]["rows"]]
        seeds = list(dict.fromkeys(cell.seed for cell in self.cells))
        write_results(self.folder, self.command, seeds, rows, **self.describe(rows))

    @abstractmethod
    def describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What ``results.json`` says beside its rows: a summary, the name of the table."""

    def _run_here(self, cells: Sequence[C]) -> Iterator[tuple[C, str | None]]:
        for cell in cells:
            why = None
            try:
                _run_cell(cell, self._path(cell))
            except (RuntimeError, ValueError, ArithmeticError) as error:
                why = f"{type(error).__name__}: {error}".splitlines()[0]
            yield cell, why

    def _run_apart(self, cells: Sequence[C], jobs: int) -> Iterator[tuple[C, str | None]]:
        """Each in a process of its own, in the order in which they end: the cell, and why it failed if it did."""
        waiting, running = list(reversed(cells)), dict[subprocess.Popen[str], C]()
        environment = dict(os.environ)
        if jobs > 1:
            environment["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // jobs))
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    cell = waiting.pop()
                    running[self._start(cell, environment)] = cell
                ended = [process for process in running if process.poll() is not None]
                for process in ended:
                    cell = running.pop(process)
                    yield cell, self._explain_failure(cell, process)
                if not ended:
                    time.sleep(0.1)
        finally:
            for process, cell in running.items():
                process.kill()
                process.wait()
                self._path(cell).with_suffix(".stderr").unlink(missing_ok=True)

    def _start(self, cell: C, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        path = self._path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = f"{type(cell).__module__}:{type(cell).__qualname__}"
        command = [sys.executable, "-m", __name__, kind, json.dumps(_fields(cell)), str(path)]
        # A file, not a pipe: nobody reads along, and a full pipe would stop the process.
        with path.with_suffix(".stderr").open("w", encoding="utf-8") as errors:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, text=True, env=environment
            )

    def _explain_failure(self, cell: C, process: subprocess.Popen[str]) -> str | None:
        errors = self._path(cell).with_suffix(".stderr")
        lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        errors.unlink()
        if process.returncode == 0 and self._path(cell).is_file():
            return None
        return (lines or [f"exit status {process.returncode}"])[-1]

    def _read(self, cell: C) -> dict[str, Any]:
        path = self._path(cell)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            made_by = _fields(self.cell_type(**record["cell"]))
            record["rows"] = list(record["rows"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}): delete it to run that cell again") from error
        if any(value != made_by[name] for name, value in _fields(cell).items() if name not in cell.moving):
            raise DataError(f"{path} was made with other settings than asked for: use another folder")
        return record

    def _path(self, cell: C) -> Path:
        return self.folder / "cells" / f"{cell.name}.json"


def _fields(cell: Any) -> dict[str, Any]:
    """The fields of a cell as JSON has them: tuples are lists."""
    return json.loads(json.dumps(asdict(cell)))


def _run_cell(cell: Cell, path: Path) -> None:
    write_json(path, {"cell": _fields(cell)} | cell.run(), indent=None)


def _end_when_orphaned() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _main() -> None:
    """Run the cell given as type and JSON and write its file; ends when the process that started it is gone."""
    keep_freed_memory()
    _end_when_orphaned()
    module, name = sys.argv[1].split(":")
    _run_cell(getattr(import_module(module), name)(**json.loads(sys.argv[2])), Path(sys.argv[3]))


if __name__ == "__main__":
    _main()
